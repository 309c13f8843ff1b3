"""What changed between two samples."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.compare.comparison import Comparison, Judgement, cautions, change_told, interval_told
from bench.compare.sample import Sample
from bench.conditions import parsed
from bench.record import Run, Verification
from bench.yardsticks import named
from tests.kit.runs import sampled_run


def compared(before: Run, after: Run) -> Comparison:
    return Comparison(Sample([before]), Sample([after]), seed=1, draws=300)


@pytest.fixture(scope="module")
def slower() -> Comparison:
    return compared(sampled_run(1, seconds=30), sampled_run(2, seconds=30, slower=1.3))


@pytest.fixture(scope="module")
def alike() -> Comparison:
    return compared(sampled_run(1, seconds=30), sampled_run(3, seconds=30))


def test_a_slower_run_is_worse_where_it_is_slower(slower: Comparison) -> None:
    judged = {row.yardstick.name: row.judgement for row in slower.rows()}
    assert judged["ttfb_p50"] is judged["ttfb_p90"] is judged["rate_p50"] is Judgement.WORSE
    assert judged["throughput"] is judged["requests"] is judged["hit_ratio"] is Judgement.SAME


def test_a_faster_run_is_better() -> None:
    faster = compared(sampled_run(2, seconds=30, slower=1.3), sampled_run(1, seconds=30))
    assert faster.row(named("ttfb_p50")).judgement is Judgement.BETTER
    assert faster.row(named("rate_p50")).judgement is Judgement.BETTER


def test_runs_of_different_seeds_are_not_told_apart(alike: Comparison) -> None:
    differing = [row for row in alike.rows() if row.judgement in (Judgement.BETTER, Judgement.WORSE)]
    assert len(differing) <= 2  # 5 in 100 are, by chance


def test_a_change_is_told_with_its_interval(slower: Comparison) -> None:
    row = slower.row(named("ttfb_p50"))
    assert change_told(row).startswith("+")
    assert interval_told(row).startswith("+")
    assert " … +" in interval_told(row)


def test_a_share_changes_by_points(slower: Comparison) -> None:
    assert change_told(slower.row(named("hit_ratio"))).endswith(" pp")


def test_without_an_interval_nothing_is_claimed(slower: Comparison) -> None:
    row = slower.row(named("memory"))
    assert row.judgement is Judgement.UNKNOWN
    assert interval_told(row) == "–"


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("ttfb_p50>+10%", True),
        ("ttfb_p50>+90%", False),
        ("ttfb_p50>1us", True),
        ("throughput<-5%", False),
        ("rate_p50<-5%", True),
        ("wrong>0", False),
    ],
)
def test_conditions_are_ruled_upon(slower: Comparison, text: str, holds: bool) -> None:
    assert slower.ruled(parsed(text), sure=False).holds is holds


def test_what_is_only_nearly_so_is_not_sure(slower: Comparison) -> None:
    change = slower.row(named("ttfb_p50")).change
    assert change is not None
    close = parsed(f"ttfb_p50>+{change * 100 - 0.2:.1f}%")
    assert slower.ruled(close, sure=False).holds
    assert not slower.ruled(close, sure=True).holds


def test_what_is_plainly_so_is_sure(slower: Comparison) -> None:
    ruling = slower.ruled(parsed("ttfb_p50>+5%"), sure=True)
    assert ruling.holds
    assert "of the draws" in ruling.said


def test_a_gate_that_cannot_be_judged_stays_shut() -> None:
    run = sampled_run(seconds=8)
    ruling = compared(run, replace(run, cost=None)).ruled(parsed("cost<-5%"), sure=False)
    assert ruling.holds
    assert "cannot be judged" in ruling.said


def test_what_may_mislead_is_said() -> None:
    run = sampled_run(seconds=12)
    other = replace(
        run,
        environment=replace(run.environment, cpu="Another"),
        verification=Verification(run.verification.mode, 5, 0, 3),
    )
    assert cautions([run], [other]) == [
        "B: wrong bytes at 3 places",
        "the processor is not the same in all runs",
    ]
    assert cautions([run], [run]) == []
