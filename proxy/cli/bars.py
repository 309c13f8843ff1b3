"""How far a job is, in one line of the terminal, however wide that is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column


def _whole() -> Column:
    """As wide as what is in it."""
    return Column(no_wrap=True)


_COLUMNS: Final[tuple[tuple[int, ProgressColumn], ...]] = (
    (0, TextColumn("{task.description}", markup=False, table_column=_whole())),
    (0, BarColumn(bar_width=None, table_column=Column(ratio=2))),
    (0, DownloadColumn(binary_units=True, table_column=_whole())),
    (66, TransferSpeedColumn(table_column=_whole())),
    (50, TimeRemainingColumn(table_column=_whole())),
    (90, TextColumn("{task.fields[note]}", markup=False, table_column=Column(no_wrap=True, ratio=3))),
)
"""Each with the width of a terminal, in characters, that it is shown from."""


class JobBar(Progress):
    """A line on `console` for each task, which has a field `note`; nothing where that is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console  # first: it is drawn once to begin with
        super().__init__(console=console, transient=True, disable=not console.is_terminal, expand=True)

    def get_renderables(self) -> Iterable[RenderableType]:
        width = self._console.width  # now: it may have been changed
        self.columns = tuple(column for least, column in _COLUMNS if width >= least)
        return super().get_renderables()
