"""Outcomes as a table that reads in a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.words import Unit, told

from .outcome import Outcome

HEAD = (
    "nodes",
    "cache",
    "a node keeps",
    "seed",
    "hits",
    "theory",
    "own hits",
    "origin / unique",
    "hottest",
    "… for peers",
    "wanted",
    "a node writes",
    "Redis /s: leases",
    "facts",
    "refs",
    "at rest",
)


def rows(outcomes: Iterable[Outcome]) -> list[list[str]]:
    """A head, and a row for each."""
    return [list(HEAD), *map(_row, outcomes)]


def _row(one: Outcome) -> list[str]:
    asked = one.redis_per_second
    return [
        str(one.wanted.nodes),
        f"{one.wanted.cache:.0%}" if one.wanted.cache >= 0.01 else f"{one.wanted.cache:.1%}",
        told(one.room, Unit.BYTES),
        str(one.wanted.seed),
        f"{one.hit_ratio:.3f}",
        f"{one.theory:.3f}",
        f"{one.own_ratio:.3f}",
        f"{one.origin_times:.2f}",
        f"{one.hottest:.2f}",
        f"{one.hottest_for_peers:.2f}",
        told(one.bytes_per_second, Unit.BYTES_PER_SECOND),
        told(one.written_per_second, Unit.BYTES_PER_SECOND),
        *(f"{asked.get(name, 0.0):,.0f}" for name in ("lease", "facts", "refs", "at rest")),
    ]


def table(lines: Sequence[Sequence[str]]) -> str:
    """Markdown whose columns stand under one another."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = [_line(line, widths) for line in lines]
    return "\n".join([text[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *text[1:]])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True)) + " |"
