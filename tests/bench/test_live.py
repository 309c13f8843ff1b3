"""What a person sees while a run happens."""

from __future__ import annotations

import io

from rich.console import Console

from bench.live import View, watching
from bench.load.tally import Failures, Second, no_measures
from bench.meter import MirrorCounts, Reading
from bench.record import Mark, Source


def second(number: int, *waits: float, requests: int = 10, hits: int = 6, **failures: Failures) -> Second:
    measures = no_measures()
    measures[0].extend(waits)
    return Second(number, requests, hits=hits, in_flight=3, measures={"whole": measures}, failures=failures)


def reading(disk: int, fill: int) -> Reading:
    return Reading(MirrorCounts({Source.DISK: disk, Source.FILL: fill}, filling=2))


def drawn(view: View) -> str:
    said = io.StringIO()
    Console(file=said, width=160).print(view.picture())
    return said.getvalue()


def test_the_picture_has_throughput_by_source_waits_hits_and_errors_with_an_example() -> None:
    view = View("steady", 60)
    view.phase("running")
    view.sampled(0, reading(0, 0))
    view.sampled(1, reading(30_000_000, 10_000_000))
    view.generated(second(1, 0.010, 0.020, broken=Failures(3, "GET /acme/tiny")))
    view.marked(Mark(1.0, "origin-429"))
    text = drawn(view)
    for wanted in (
        *("steady  running  1 of 60 s", "40.0 MB/s", "disk 30.0 MB/s", "fill 10.0 MB/s"),
        *("p50 20.0 ms", "60 %", "3 in flight", "2 fills", "origin-429", "3 x broken: GET /acme/tiny"),
    ):
        assert wanted in text, wanted


def test_a_second_counts_when_all_processes_have_told_of_it() -> None:
    view = View("steady", 60)
    for one in (second(1, requests=10), second(1, requests=20), second(2, requests=7)):
        view.generated(one)
    assert "30 requests/s" in view.line()


def test_what_is_old_is_not_in_the_percentiles() -> None:
    view = View("steady", 60)
    view.generated(second(1, 9.0))
    view.generated(second(30, 0.010))
    assert "p99 10.0 ms" in view.line()


def test_where_there_is_no_terminal_there_are_lines() -> None:
    said = io.StringIO()
    with watching("steady", 60, Console(file=said, width=80)) as watcher:
        watcher.phase("running")
        watcher.generated(second(1, 0.010))
        watcher.marked(Mark(1.5, "node-kill n1"))
    first, seen, fault = said.getvalue().splitlines()
    assert first == "steady: running"
    assert seen.startswith("   1 s")
    assert fault.endswith("1.5 s  node-kill n1")
