"""Traces: what a log tells is replayed at its times; what simulators read is what was asked for."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from bench import scenario
from bench.load import catalogue, trace
from bench.load.trace import NoTrace, Trace
from bench.load.workload import HeadOnly, Part, Whole
from proxy.telemetry.accesslog import AccessRecord, rendered


def line(second: float, path: str = "model.safetensors", **fields: Any) -> bytes:
    """A line as the mirror itself writes it."""
    known: dict[str, Any] = {
        "request_id": "r",
        "client": "10.0.0.1",
        "method": "GET",
        "host": "mirror",
        "route": "resolve",
        "status": 200,
        "size": 1000,
        "cache": "hit",
        "source": "disk",
        "first_byte": 0.1,
        "duration": 1.0,
        "agent": "curl/8",
        "repo": "acme/tiny",
        "revision": "main",
    }
    return rendered(AccessRecord(at=1_700_000_000.0 + second, path=path, **{**known, **fields}), "none", b"secret")


def from_lines(tmp_path: Path, *lines: bytes, speed: float = 1.0) -> Trace:
    log = tmp_path / "access.log"
    log.write_bytes(b"".join(lines))
    return trace.from_log(log, speed=speed)


def test_a_log_is_replayed_at_its_times_or_faster(tmp_path: Path) -> None:
    found = from_lines(tmp_path, line(4.0), line(0.0), line(10.0), speed=2.0)
    assert [one.at for one in found.requests] == [0.0, 2.0, 5.0]
    assert found.seconds == 5.0


def test_a_file_is_as_long_as_the_longest_answer_about_it(tmp_path: Path) -> None:
    found = from_lines(
        tmp_path,
        line(0, status=206, range="bytes=5000-5999", size=1000),
        line(1, "config.json", size=200),
        line(2, status=206, range="bytes=100-", size=50),
    )
    sizes = {file.path: file.size for repo in found.catalogue for file in repo.files}
    assert sizes == {"model.safetensors": 6000, "config.json": 200}


def test_ranges_wholes_and_heads_are_asked_for_as_they_were(tmp_path: Path) -> None:
    found = from_lines(
        tmp_path, line(0), line(1, status=206, range="bytes=10-19", size=10), line(2, method="HEAD", size=0)
    )
    styles = [one.session(found.catalogue).wishes[0].style for one in found.requests]
    assert styles == [Whole(), Part(10, 20), HeadOnly()]


def test_what_was_no_delivery_of_a_file_is_left_out(tmp_path: Path) -> None:
    found = from_lines(
        tmp_path,
        line(0),
        line(1, status=404),
        line(2, route="api"),
        line(3, status=206, range="bytes=1-2,5-9", size=0),
        b'{"half a li',
        b"\n",
    )
    assert len(found.requests) == 1


def test_names_of_the_log_do_not_leave_it(tmp_path: Path) -> None:
    found = from_lines(tmp_path, line(0, repo="secret-org/secret-model"))
    assert "secret" not in json.dumps(catalogue.to_plain(found.catalogue))


def test_a_log_that_tells_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoTrace, match="no file that was delivered"):
        from_lines(tmp_path, b"127.0.0.1 - - GET /\n")


def test_the_parts_of_a_trace_are_the_whole(tmp_path: Path) -> None:
    found = from_lines(tmp_path, *(line(second) for second in range(7)))
    kept = tmp_path / "trace.json"
    trace.write(found, kept)
    parts = [list(trace.sessions(kept, found.catalogue, part, 3)) for part in range(3)]
    assert sorted(at for part in parts for at, _ in part) == [one.at for one in found.requests]


def test_a_simulator_reads_when_each_object_comes_again(tmp_path: Path) -> None:
    found = from_lines(tmp_path, line(0), line(1, "other.bin", size=7), line(2), line(3, method="HEAD", size=0))
    records = list(struct.iter_unpack("<IQIq", trace.oracle_general(found)))
    assert [(second, size, again) for second, _, size, again in records] == [(0, 1000, 2), (1, 7, -1), (2, 1000, -1)]
    assert records[0][1] == records[2][1] != records[1][1]


def test_a_long_file_is_several_objects(tmp_path: Path) -> None:
    size = 2 * trace.PIECE + 5
    found = from_lines(tmp_path, line(0, status=206, range=f"bytes={trace.PIECE}-{size - 1}", size=size - trace.PIECE))
    assert [one.size for one in trace.accesses(found)] == [trace.PIECE, 5]


def test_a_workload_is_told_as_text_too() -> None:
    wanted = scenario.read(scenario.find("smoke"), {"duration": 2})
    repos = catalogue.drawn(wanted.catalogue.extent(), wanted.seed)
    habits = wanted.clients.habits(herd=False)
    drawn = [trace.from_workload(repos, habits, wanted.load.arrivals(), wanted.duration, seed) for seed in (1, 1, 2)]
    first, same, other = (trace.csv(one) for one in drawn)
    assert first == same != other
    assert first.startswith(b"time,object,size\n")
    assert len(first.splitlines()) > 20
