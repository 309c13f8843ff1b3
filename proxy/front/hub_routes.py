"""The Hub's routes: what each target of the file plane is answered with."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from proxy.fetch.coordinator import Coordinator, Elsewhere, Located
from proxy.hub.targets import RawFile, ResolveFile

from .answers import Answer, Headers
from .conditions import conditions_of
from .file_answers import answer_file, moved
from .visit import Visit


class FileRoutes:
    """GET and HEAD of `resolve` and `raw`."""

    def __init__(self, coordinator: Coordinator, hints: Callable[[Located, Visit], Headers]) -> None:
        self._coordinator = coordinator
        self._hints = hints

    async def answer(self, asked: ResolveFile | RawFile, visit: Visit) -> Answer:
        """The file's bytes at a commit; a redirect there from any other revision."""
        match await self._coordinator.locate(visit.caller, asked.file):
            case Elsewhere(target):
                return moved(asked, target)
            case Located() as located:
                visit.located = located
                hints = self._hints(located, visit) if isinstance(asked, ResolveFile) else ()
                return answer_file(asked, located, conditions_of(visit), visit.field("Range"), visit.method, hints)
            case never:
                assert_never(never)
