"""The numbers of a run, as rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.record import Run, Sum
from bench.report import plots, tables
from tests.kit.runs import KINDS, sampled_run


@pytest.fixture(scope="module")
def run() -> Run:
    return sampled_run(seconds=12)


def test_every_row_is_as_long_as_its_heading(run: Run) -> None:
    made = [tables.kinds, tables.errors, tables.accounts, tables.books, tables.generator, tables.environment]
    found = [make(run) for make in made] + [tables.numbers(plot) for plot in plots.plots(run)]
    for table in found:
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_every_kind_of_request_has_its_row(run: Run) -> None:
    assert [row[0] for row in tables.kinds(run).rows] == sorted(KINDS)


def test_an_account_that_does_not_hold_says_so_loudly(run: Run) -> None:
    broken = replace(run, conservation=replace(run.conservation, sums=(Sum("a", 1, 5), Sum("b", 1, 1))))
    assert [row[-1] for row in tables.accounts(broken).rows] == ["DOES NOT HOLD", "holds"]


def test_settings_are_told_flat(run: Run) -> None:
    nested = {"origin": {"rate": 5, "faults": [{"at": 1}]}, "empty": {}, "none": None, "list": [1, 2]}
    found = tables.settings(replace(run, scenario=replace(run.scenario, settings=nested)))
    assert found.rows == (
        ("origin.rate", "5"),
        ("origin.faults[0].at", "1"),
        ("empty", "{}"),
        ("none", ""),
        ("list", "[1, 2]"),
    )


def test_no_plot_is_told_in_more_rows_than_anybody_reads(run: Run) -> None:
    series = tuple(replace(run.series[0], second=second) for second in range(700))
    long = plots.throughput(replace(run, series=series))
    assert len(tables.numbers(long).rows) <= tables.ROWS_TOLD


def test_what_is_not_known_has_no_tile(run: Run) -> None:
    titles = [tile.title for tile in tables.tiles(replace(run, cost=None, fairness=()))]
    assert "greatest resident memory" not in titles
    assert "throughput" in titles
