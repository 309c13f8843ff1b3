"""When everything is over: what is left, in the nodes, on the disks and in the logs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.kit.fleet import HELD, LEFT_WITHIN
from tests.kit.node import Node
from tests.kit.waiting import NotInTime, until

from .weather import Weather

EXPLAINED: dict[str, tuple[str, ...]] = {
    "body broke off": ("hub", "web", "node", "disk", "drop", "change"),
    "fill failed": ("hub", "web", "node", "disk", "drop", "change"),
    "blob dropped": ("hub", "drop", "disk", "change"),
    "an answer was not stored": ("web", "disk", "change", "drop"),
    "disk failed under a fill": ("disk",),
    "seal failed": ("hub", "disk"),
    "corruption found": ("hub", "flip", "disk"),
    "worker died": ("node",),
    "needs a restart": ("reload",),
    "disk state": ("disk",),
    "not ready": ("disk", "node"),
    "drain cut short": ("node",),
    "leaving cut short": ("node", "redis"),
    "redis is away": ("redis",),
    "redis refused": ("redis",),
    "the origin is out of reach; what is cached is served": ("hub", "web"),
    "notice failed": ("redis", "disk"),
    "a whole was wrong": ("hub",),
    "a blob is wrong at the origin": ("hub",),
    "a blob could not be proven": ("hub", "redis", "node", "drop"),
    "a slice was wrong": ("hub",),
}
"""Lines of warnings and errors, and what may have caused them."""


_OUTBURST = re.compile(r"Traceback|Error\b|Exception|never retrieved|was destroyed|never awaited")
"""In lines that are no events: what Python says by itself."""


async def held(nodes: list[Node]) -> list[str]:
    """Gauges that are not 0 although nothing is under way."""
    found: list[str] = []

    async def nothing() -> bool:
        found.clear()
        for node in nodes:
            page = await node.metrics()
            found.extend(f"{node}: {gauge} {total:g}" for gauge in HELD if (total := page.total(gauge)))
        return not found

    with suppress(NotInTime):
        await until(nothing, "nothing is held", LEFT_WITHIN)
    return found


def logged(folder: Path, weather: Weather) -> Iterator[str]:
    """Lines that say more than what was done explains."""
    seen: dict[str, int] = {}
    for path in sorted(folder.glob("events-*.log")):
        for line in path.read_text(errors="replace").splitlines():
            for complaint in _line_said(line, weather):
                seen[complaint] = seen.get(complaint, 0) + 1
                if seen[complaint] == 1:
                    yield f"{path.parent.name}/{path.name}: {line[:3000]}"


def _line_said(line: str, weather: Weather) -> Iterator[str]:
    record: dict[str, Any]
    try:
        record = json.loads(line)
    except ValueError:
        if _OUTBURST.search(line):
            yield line[:80]
        return
    event, level = str(record.get("event", record.get("message"))), str(record.get("level")).lower()
    if "Traceback" in line or "never retrieved" in line or "was destroyed" in line:
        yield f"traceback {event}"
    elif level in ("warning", "error", "critical") and not weather.ever(*EXPLAINED.get(event, ())):
        yield event
