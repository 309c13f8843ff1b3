"""What a run has to show, in the terminal."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from bench.record import Run
from bench.summary import summary
from tests.kit.runs import sampled_run


def printed(run: Run) -> str:
    said = io.StringIO()
    Console(file=said, width=120).print(summary(run))
    return said.getvalue()


def test_the_numbers_that_people_ask_for_are_there() -> None:
    text = printed(sampled_run(seconds=12))
    for wanted in ("throughput", "disk", "hit ratio", "origin amplification", "first byte", "p99.9", "CPU-s", "late"):
        assert wanted in text


def test_a_mirror_that_tells_nothing_has_what_its_clients_counted() -> None:
    run = sampled_run(seconds=12)
    silent = replace(run, cost=None, series=tuple(replace(moment, bytes={}) for moment in run.series))
    text = printed(silent)
    assert "CPU-s" not in text
    assert "throughput  0 B/s" not in text
