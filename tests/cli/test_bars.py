"""The bar of a job is one line, and what there is room for in it."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from proxy.cli.bars import JobBar

MIB, GIB = 1 << 20, 1 << 30


def drawn(width: int, *, total: int | None, completed: int, note: str) -> list[str]:
    """The lines that `width` columns show."""
    console = Console(file=StringIO(), force_terminal=True, width=width, soft_wrap=True, color_system=None)
    bar = JobBar(console)
    bar.add_task("import-4f2a9c01", total=total, completed=completed, note=note)
    return ["".join(piece.text for piece in line) for line in console.render_lines(bar.get_renderable())]


@pytest.mark.parametrize("width", [40, 49, 50, 60, 65, 66, 80, 89, 90, 110, 200])
def test_it_is_one_line_at_any_width(width: int) -> None:
    note = "acme/large/a-rather-long-name-of-a-model-[00001]-of-00163.safetensors"
    for total, completed, shown in (
        (8 * MIB, MIB, "1.0/8.0 MiB"),
        (1023 * GIB, 1022 * GIB, "1,022.0/1,023.0 GiB"),
        (None, 5 * MIB, "5.0/? MiB"),
    ):
        (line,) = drawn(width, total=total, completed=completed, note=note)
        assert len(line) <= width
        assert line.startswith("import-4f2a9c01 ")
        assert shown in line


def test_what_there_is_no_room_for_is_left_out() -> None:
    narrow, middle, wide = (drawn(width, total=8 * MIB, completed=MIB, note="[x].bin")[0] for width in (49, 66, 90))
    assert ("-:--:--" in narrow, "?" in narrow) == (False, False)
    assert ("-:--:--" in middle, "?" in middle, "[x].bin" in middle) == (True, True, False)
    assert "[x].bin" in wide
