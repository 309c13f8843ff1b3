"""Watching whether a node is ready, and telling when that changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from .node import Node

_UNREADY_INTERVAL: Final = 0.05
_READY_INTERVAL: Final = 1.0
"""Seconds between two looks; a look is a few attribute reads."""


async def watch_readiness(node: Node, tell: Callable[[list[str]], None]) -> None:
    """Call `tell` with the reasons against `node`, now and whenever they change. Runs until cancelled."""
    told: list[str] | None = None
    while True:
        reasons = node.ready()
        if reasons != told:
            tell(reasons)
            told = reasons
        await asyncio.sleep(_UNREADY_INTERVAL if reasons else _READY_INTERVAL)
