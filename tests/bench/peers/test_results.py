"""Medians, ratios, and whether what we want is reached."""

from __future__ import annotations

import pytest

from bench.environment import environment
from bench.peers.results import (
    AtLeast,
    AtMost,
    Beats,
    NearDirect,
    Results,
    figures,
    reached,
    times_as_good,
)
from bench.peers.telling import (
    SUMMARY_BEGINS,
    SUMMARY_ENDS,
    cell,
    page,
    summary,
    table,
    want_told,
    with_summary,
)
from bench.words import Unit

LINES = {figure.name: figure for figure in figures("1 GiB", 1000)}
RATE, WALL = LINES["warm_whole_cpu"], LINES["cold_whole_wall"]


def results(**medians: dict[str, float | list[float]]) -> Results:
    found = Results()
    for server, numbers in medians.items():
        for name, values in numbers.items():
            for value in values if isinstance(values, list) else [values]:
                found.add(server, {name: value})
    return found


def test_more_of_a_rate_and_less_of_a_time_is_as_many_times_as_good() -> None:
    found = results(
        penstock={"warm_whole_cpu": 6e9, "cold_whole_wall": 2.0}, nginx={"warm_whole_cpu": 3e9, "cold_whole_wall": 6.0}
    )
    assert times_as_good(found, RATE, "nginx") == 2.0
    assert times_as_good(found, WALL, "nginx") == 3.0


def test_a_cell_has_median_spread_and_ratio() -> None:
    found = results(penstock={"warm_whole_cpu": [2e9, 3e9, 9e9]}, nginx={"warm_whole_cpu": 1.5e9})
    assert cell(found, RATE, "penstock") == "3.00 GB/CPU-s (2.00 GB – 9.00 GB)"
    assert cell(found, RATE, "nginx") == "1.50 GB/CPU-s, **2.00 ×**"
    assert cell(found, RATE, "olah") == "–"


def test_a_row_that_was_not_done_says_so() -> None:
    found = results(penstock={"herd_wall": 3.0})
    found.failed = {("herd", "olah"): "not done within 120 s", ("herd", "nginx"): "Unexpected: status 500"}
    found.failed["herd", "varnish"] = "not measurable: it has no herd"
    assert cell(found, LINES["herd_wall"], "olah") == "not done within 120 s"
    assert cell(found, LINES["herd_wall"], "nginx") == "failed"
    assert cell(found, LINES["herd_wall"], "varnish") == "not measurable"


@pytest.mark.parametrize(
    ("want", "ours", "others", "answer"),
    [
        (Beats("nginx", 2.0), 3.0, {"nginx": 6.0}, True),
        (Beats("nginx", 2.0), 3.1, {"nginx": 6.0}, False),
        (Beats("nginx", 2.0), 3.0, {}, None),
        (NearDirect(1.1), 1.09, {"direct": 1.0}, True),
        (NearDirect(more=0.02), 1.03, {"direct": 1.0}, False),
        (NearDirect(1.1), 1.0, {}, None),
        (AtMost(5.0), 5.0, {}, True),
        (AtMost(5.0), 5.1, {}, False),
        (AtLeast(1.0), 1.0, {}, True),
        (AtLeast(1.0), 0.9, {}, False),
    ],
)
def test_a_want_is_reached_or_not_or_nobody_knows(
    want: Beats | NearDirect | AtMost | AtLeast, ours: float, others: dict[str, float], answer: bool | None
) -> None:
    found = results(penstock={WALL.name: ours}, **{name: {WALL.name: value} for name, value in others.items()})
    assert reached(found, WALL, want) is answer


def test_wants_are_told_as_the_design_writes_them() -> None:
    assert want_told(Beats("nginx", 1.3), Unit.BYTES) == "≥ 1.3 × nginx"
    assert want_told(NearDirect(1.1), Unit.SECONDS) == "≤ 1.1 × direct"
    assert want_told(NearDirect(more=0.02), Unit.SECONDS) == "≤ direct + 20.0 ms"


def test_the_page_leaves_out_what_nobody_measured_and_names_what_failed() -> None:
    found = results(penstock={"warm_whole_cpu": 3e9})
    found.failed["herd", "olah"] = "not done within 120 s"
    text = page(
        found, list(LINES.values()), ["penstock", "olah"], environment(""), "make bench-peers", rounds=1, others=7.0
    )
    assert "- olah, herd: not done within 120 s" in text
    assert "warm, HEAD" not in text
    assert "what it cannot show" in text
    assert "load average was 7.0: **other work was running" in text


def test_every_row_of_the_table_has_as_many_cells() -> None:
    found = results(penstock=dict.fromkeys(LINES, 1.0), nginx=dict.fromkeys(LINES, 2.0))
    lines = table(found, list(LINES.values()), ["penstock", "nginx", "direct"]).splitlines()
    assert {line.count("|") for line in lines} == {7}
    assert len(lines) == len(LINES) + 2


def test_the_summary_has_medians_of_what_is_wanted_and_replaces_the_one_before() -> None:
    found = results(
        penstock={"warm_whole_cpu": [2e9, 3e9, 9e9], "cold_tail_wall": 1.0}, nginx={"warm_whole_cpu": 1.5e9}
    )
    short = summary(found, list(LINES.values()), ["penstock", "nginx", "olah"])
    head, _, *rows = short.splitlines()
    assert head == "| | penstock | nginx | olah | wanted | reached |"
    assert rows == [
        "| warm, 1 GiB whole: per CPU-second | 3.00 GB/CPU-s | 1.50 GB/CPU-s (2.00 ×) | – | ≥ 1.3 × nginx | yes |"
    ]
    before = f"a\n{SUMMARY_BEGINS}\nold\n{SUMMARY_ENDS}\nz\n"
    assert with_summary(before, short) == f"a\n{SUMMARY_BEGINS}\n\n{short}\n\n{SUMMARY_ENDS}\nz\n"
    with pytest.raises(ValueError, match="no place"):
        with_summary("a", short)
