"""Tables on standard output."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table


def show(table: Table) -> None:
    """Into a terminal as wide as that is; into a pipe whole lines: a cut path is of no use to grep."""
    console = Console(highlight=False)
    (console if console.is_terminal else Console(highlight=False, width=1000)).print(table)
