"""The table *What was walked* in docs/operations.md: a line for each alert."""

from __future__ import annotations

import re
from pathlib import Path as File
from typing import Final

from .ground import Walked
from .path import Path

PAGE: Final = File(__file__).parents[2] / "docs/operations.md"


def row(alert: str, path: Path, seen: Walked) -> str:
    """What came of it."""
    return f"{texts(alert, path)} {seen.fired[alert]:.0f} s | {seen.over[alert]:.0f} s |"


def texts(alert: str, path: Path) -> str:
    """The part of a row that no walk changes."""
    return f"| {alert} | {path.broken} | {path.done} |"


def rows() -> dict[str, str]:
    """Those of the page, by alert."""
    table = PAGE.read_text().partition("\n## What was walked\n")[2].partition("\n## ")[0]
    return {found[1]: found[0] for found in re.finditer(r"^\| (Penstock\w+) \|.*$", table, re.M)}


def written(path: Path, seen: Walked) -> None:
    """Put what was seen in place of what the page says of these alerts. Raises KeyError for one that has no row."""
    for alert in path.alerts:
        PAGE.write_text(PAGE.read_text().replace(rows()[alert], row(alert, path, seen)))
