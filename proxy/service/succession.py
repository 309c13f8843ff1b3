"""How far one program of a node is in giving its place to the next (`renewal`), for the one who ordered it.

serving      this program has the place
rehearsing   it was asked to give it up, and tries out the next
starting     it has taken over, its workers do not all serve yet, and those of the program before do
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

import proxy
from proxy.config.schema import Config
from proxy.core.tasks import TaskSet
from proxy.store.layout import FORMAT

from .crew import Crew
from .drain import StopOrder
from .operations.renewing import RenewalTold, RenewTold
from .operations.shape import Refused
from .renewal import Legacy, NotRenewed, become, rehearsed

log: Final = logging.getLogger(__name__)


class Succession:
    """Gives the place of this program, the how manieth of its process, to the one that `words` starts."""

    def __init__(
        self,
        words: Sequence[str],
        program: int,
        *,
        crew: Crew,
        order: StopOrder,
        tasks: TaskSet,
        config: Callable[[], Config],
        legacy: Callable[[], Legacy],
    ) -> None:
        self.program = program
        self.serves = False
        """Whether all workers of this program have served at some time."""
        self.why: str | None = None
        """Why the last try came to nothing, or a new worker does not start."""
        self._words = words
        self._crew = crew
        self._order = order
        self._tasks = tasks
        self._config = config
        self._legacy = legacy
        self._task: asyncio.Task[None] | None = None

    def workers_serve(self) -> None:
        """All workers of this program do."""
        self.serves, self.why = True, None

    def worker_died(self, why: str) -> None:
        if not self.serves:
            self.why = why

    @property
    def is_under_way(self) -> bool:
        return self._task is not None and not self._task.done()

    def begin(self) -> None:
        """Try the next program out and give it the place; nothing while that is under way, or the node stops."""
        if not self._order.begun.is_set() and not self.is_under_way:
            self.why = None
            self._task = self._tasks.start(self._give_way(), "renewal")

    async def ordered(self, *, dry_run: bool) -> RenewTold:
        """As `begin`, or only what it would come to. Raises Refused."""
        if self._order.begun.is_set():
            raise Refused(409, "the node is stopping")
        if self.is_under_way:
            raise Refused(409, "the node is being renewed already; penstock upgrade --status tells how far it is")
        becomes = None
        if dry_run:
            try:
                becomes = await rehearsed(self._words, self._config())
            except (NotRenewed, OSError) as refused:
                raise Refused(409, f"what is installed cannot take over: {refused}") from None
        else:
            self.begin()
        return RenewTold(
            dry_run=dry_run, program=self.program, version=proxy.__version__, becomes=becomes, disk_format=FORMAT
        )

    def told(self) -> RenewalTold:
        """How far it is."""
        return RenewalTold(
            program=self.program,
            version=proxy.__version__,
            disk_format=FORMAT,
            state="rehearsing" if self.is_under_way else "serving" if self.serves else "starting",
            why=self.why,
            workers=sum(worker.ready for worker in self._crew.serving.values()),
            old_workers=len(self._crew.formers) + len(self._crew.leaving),
        )

    async def _give_way(self) -> None:
        try:
            await rehearsed(self._words, self._config())
            if not self._order.begun.is_set():
                become(self._words, self._legacy())
            self.why = "the node is stopping"
        except (NotRenewed, OSError) as refused:
            self.why = str(refused)
        log.error("not renewed, the running program stays", extra={"why": self.why})
