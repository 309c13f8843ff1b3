"""Operations of the node as a whole: one process, or a supervisor with its workers, carries them out itself."""

from __future__ import annotations

from typing import Any, Final, Protocol

from pydantic import Field

from proxy.config.reload import Change, Reload
from proxy.core.errors import ConfigError

from .carried_out import Handler, Operations
from .renewing import RENEWING, RenewalTold, RenewAsked, RenewTold
from .shape import Asked, Nothing, Operation, Refused, Told
from .stats import StatsTold, stats_of


class ReloadAsked(Asked):
    """Read the configuration anew."""

    dry_run: bool = Field(False, description="Only say what would change.")


class ChangeTold(Told):
    """A setting that is not what it was."""

    name: str
    before: str
    after: str


class ReloadTold(Told):
    """What reading the configuration anew came to."""

    dry_run: bool
    taken: list[ChangeTold] = Field(description="In force from now on.")
    waiting: list[ChangeTold] = Field(description="In force after a restart.")


class DrainTold(Told):
    """The node stops politely: unready first, then its port closes, then it ends when its downloads have."""

    draining: bool


class NodeView(Protocol):
    """What is asked of the node."""

    async def status(self) -> dict[str, Any]: ...

    async def metrics(self) -> bytes: ...

    async def reload(self, *, dry_run: bool) -> Reload:
        """Read the configuration anew, and take over what may change in flight. Raises ConfigError."""
        ...

    async def stop(self) -> None:
        """Stop politely, as by SIGTERM; returns at once."""
        ...

    def renewal(self) -> RenewalTold: ...

    async def renew(self, *, dry_run: bool) -> RenewTold:
        """Let another program take the place, as by SIGUSR2; returns at once, or says whether it could. Raises
        Refused."""
        ...


ON_NODE: Final = (
    Operation("stats", "GET", "/-/api/stats", "The node in figures.", Nothing, StatsTold),
    Operation(
        "reload",
        "POST",
        "/-/api/config/reload",
        "Read the configuration anew, as by SIGHUP, and say what changed and what needs a restart.",
        ReloadAsked,
        ReloadTold,
        refusals=((422, "The configuration has mistakes; the running one stays."),),
    ),
    Operation("drain", "POST", "/-/api/drain", "Stop politely, as by SIGTERM.", Nothing, DrainTold, status=202),
    *RENEWING,
)


def operations_of(view: NodeView) -> Operations:
    """The operations of `ON_NODE` on `view`."""

    async def stats(asked: Nothing) -> StatsTold:
        return stats_of(await view.metrics(), await view.status())

    async def reload(asked: ReloadAsked) -> ReloadTold:
        try:
            plan = await view.reload(dry_run=asked.dry_run)
        except ConfigError as error:
            raise Refused(422, "; ".join(error.mistakes)) from None
        return ReloadTold(dry_run=asked.dry_run, taken=_told(plan.taken), waiting=_told(plan.waiting))

    async def drain(asked: Nothing) -> DrainTold:
        await view.stop()
        return DrainTold(draining=True)

    async def renewal(asked: Nothing) -> RenewalTold:
        return view.renewal()

    async def renew(asked: RenewAsked) -> RenewTold:
        return await view.renew(dry_run=asked.dry_run)

    handlers: dict[str, Handler] = {"stats": stats, "reload": reload, "drain": drain}
    return Operations(ON_NODE, {**handlers, "renewal": renewal, "renew": renew})


def _told(changes: tuple[Change, ...]) -> list[ChangeTold]:
    return [ChangeTold(name=one.name, before=str(one.before), after=str(one.after)) for one in changes]
