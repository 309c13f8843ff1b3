"""How it is told: the table of all figures, the short one, and the page around the former."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bench.record import Environment
from bench.words import Unit, told

from .results import DIRECT, OURS, AtLeast, AtMost, Beats, Figure, NearDirect, Results, Want, reached, times_as_good


def want_told(want: Want, unit: Unit) -> str:
    match want:
        case Beats(peer, factor):
            return f"≥ {factor:g} × {peer}"
        case NearDirect(factor, more):
            text = "≤ " + (f"{factor:g} × direct" if factor != 1.0 else "direct")
            return text + (f" + {told(more, unit)}" if more else "")
        case AtMost(limit):
            return f"≤ {told(limit, unit)}"
        case AtLeast(limit):
            return f"≥ {told(limit, unit)}"


_ANSWER = {True: "yes", False: "**no**", None: "?"}


def cell(results: Results, figure: Figure, server: str) -> str:
    """`2.52 GB/s (2.40 – 2.61), 0.8 ×`: median, smallest and greatest, and how many times as good as this we are."""
    numbers = results.found.get((figure.name, server))
    failure = results.failed.get((figure.row, server), "")
    if not numbers:
        if not failure:
            return "–"
        return failure.partition(":")[0] if failure.startswith((NOT_DONE, NOT_MEASURABLE)) else "failed"
    median = statistics.median(numbers)
    text = told(median, figure.unit)
    if len(numbers) > 1:
        text += f" ({_bare(min(numbers), figure.unit)} – {_bare(max(numbers), figure.unit)})"
    if server != OURS and (ratio := times_as_good(results, figure, server)) is not None:
        text += f", **{_factor(ratio)}**"
    return text


def table(results: Results, lines: Sequence[Figure], servers: Sequence[str]) -> str:
    """Markdown."""
    heads = [f"{name} {results.versions.get(name, '')}".strip() for name in servers]
    text = ["| | " + " | ".join(heads) + " | wanted | reached |", "|---" * (len(servers) + 3) + "|"]
    for figure in lines:
        cells = [cell(results, figure, server) for server in servers]
        if all(one == "–" for one in cells):
            continue
        wants = "; ".join(want_told(want, figure.unit) for want in figure.wants)
        answers = "; ".join(_ANSWER[reached(results, figure, want)] for want in figure.wants)
        text.append(f"| {figure.title} | " + " | ".join(cells) + f" | {wants} | {answers} |")
    return "\n".join(text)


NOT_DONE = "not done within"
NOT_MEASURABLE = "not measurable"
"""What reasons begin with that a table tells; another is a failure."""
SUMMARY_BEGINS = "<!-- side by side: written by bench.peers --summary -->"
SUMMARY_ENDS = "<!-- side by side: end -->"


def summary(results: Results, lines: Sequence[Figure], servers: Sequence[str]) -> str:
    """The rows that something is wanted of, medians alone, as Markdown."""
    text = ["| | " + " | ".join((*servers, "wanted", "reached")) + " |", "|---" * (len(servers) + 3) + "|"]
    for figure in lines:
        if not figure.wants or results.median(figure.name, OURS) is None:
            continue
        cells = [_median_cell(results, figure, server) for server in servers]
        wants = "; ".join(want_told(want, figure.unit) for want in figure.wants)
        answers = "; ".join(_ANSWER[reached(results, figure, want)] for want in figure.wants)
        text.append(f"| {figure.title} | " + " | ".join(cells) + f" | {wants} | {answers} |")
    return "\n".join(text)


def with_summary(page: str, table: str) -> str:
    """`page` with `table` in the place of the one between its two marks. Raises ValueError when it has none."""
    before, begins, rest = page.partition(SUMMARY_BEGINS)
    _, ends, after = rest.partition(SUMMARY_ENDS)
    if not begins or not ends:
        raise ValueError("the page has no place for a summary")
    return f"{before}{begins}\n\n{table}\n\n{ends}{after}"


def _median_cell(results: Results, figure: Figure, server: str) -> str:
    median = results.median(figure.name, server)
    if median is None:
        return cell(results, figure, server)
    ratio = None if server == OURS else times_as_good(results, figure, server)
    return told(median, figure.unit) + (f" ({_factor(ratio)})" if ratio is not None else "")


def page(
    results: Results,
    lines: Sequence[Figure],
    servers: Sequence[str],
    place: Environment,
    command: str,
    *,
    rounds: int,
    others: float,
) -> str:
    """The whole of bench/RESULTS.md. `others` is the load average before anything was started."""
    failures = [f"- {server}, {row}: {why}" for (row, server), why in sorted(results.failed.items())]
    return "\n".join(
        [
            "# Side by side",
            "",
            f"    {command}",
            "",
            f"Medians of {rounds} rounds in which the servers took turns, smallest and greatest in brackets; behind",
            "each peer, in bold, how many times as good as it Penstock is (below 1: worse). `direct` is the client at",
            "the origin itself. What a row does: `bench/peers/rows.py`.",
            "",
            table(results, lines, [*servers, DIRECT]),
            "",
            *(line for remark in sorted(results.remarks) for line in (remark, "")),
            *(["What could not be done, the last time:", "", *failures, ""] if failures else []),
            *_about(place, others),
            "",
        ]
    )


def _about(place: Environment, others: float) -> list[str]:
    return [
        "## The machine, and what it cannot show",
        "",
        f"{place.cpu}, {place.cores} cores, {told(place.memory_bytes, Unit.BYTES)}, Linux {place.kernel}, Python "
        f"{place.versions['python']}, revision {place.revision or 'not known'}.",
        "The server has one core, the synthetic Hub and the load share another; on loopback, all in the page cache,",
        "where the files of warm rows are held by `mlock` (`bench/peers/memory.py`), for all servers alike.",
        f"Before it began, the load average was {others:.1f}: " + _trust(others),
        "",
        "- No network card: no driver, no interrupts, no segmentation offload, no loss, no latency. Loopback copies",
        "  where a card would fetch; gigabytes per CPU-second are those of the kernel's copy.",
        "- No disk slower than memory. Cold reads, writeback and a disk's queue are not in these numbers.",
        "- Cold rows end where the synthetic Hub does, which shares its core with the client: they compare servers,",
        "  they do not say how fast one fills.",
        "- The caches are asked for the CDN's own addresses, which spares them the Hub's redirect, its rights and its",
        "  names; the mirrors are asked as clients ask the Hub.",
        "- Wall rates of HEAD are our own loop's where the server is faster than it.",
        "- One core per server: what several workers or threads would add is not shown.",
        "",
        "Configurations: `bench/peers/configs/`, `bench/peers/servers.py`.",
    ]


_IDLE = 0.5


def _trust(others: float) -> str:
    if others < _IDLE:
        return "nothing else was running."
    return "**other work was running; wall times are not to be trusted**, those per CPU-second a little more."


def _bare(value: float, unit: Unit) -> str:
    """Without what all numbers of a line have in common."""
    return told(value, unit).replace("/CPU-s", "").removesuffix("/s")


def _factor(ratio: float) -> str:
    return f"{ratio:,.0f} ×" if ratio >= 100 else f"{ratio:.1f} ×" if ratio >= 10 else f"{ratio:.2f} ×"
