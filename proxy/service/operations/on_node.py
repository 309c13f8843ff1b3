"""Operations of the node as a whole: one process, or a supervisor with its workers, carries them out itself."""

from __future__ import annotations

from typing import Any, Protocol

from .carried_out import Operations
from .shape import Nothing
from .stats import StatsTold, stats_of
from .table import ON_NODE


class NodeView(Protocol):
    """What is asked of the node."""

    async def status(self) -> dict[str, Any]: ...

    async def metrics(self) -> bytes: ...


def operations_of(view: NodeView) -> Operations:
    """The operations of `table.ON_NODE` on `view`."""

    async def stats(asked: Nothing) -> StatsTold:
        return stats_of(await view.metrics(), await view.status())

    return Operations(ON_NODE, {"stats": stats})
