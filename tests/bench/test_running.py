"""Whole runs of a second or two: Hub, mirror, load, record, verdict, as separate processes on loopback."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench import record, running, verdict
from bench.record import Run
from bench.running import allowed, chosen
from bench.scenario import ScenarioError
from bench.verdict import Weight
from bench.wanted import Wanted

SMALL = {"catalogue.mean": "300kB", "catalogue.most": "2MiB", "catalogue.popular": 6, "catalogue.once": 10}


def ran(name: str, out: Path, **changes: Any) -> tuple[Run, str]:
    """The run, and what a log would have seen of it."""
    said = io.StringIO()
    wanted = Wanted(name, chosen(name, {key.replace("__", "."): value for key, value in changes.items()}))
    found = running.run(wanted, out, Console(file=said, width=200))
    return found, said.getvalue()


def faults_of(run: Run) -> list[str]:
    return [finding.text for finding in verdict.findings(run) if finding.weight is Weight.FAULT]


def test_a_healthy_mirror_passes_and_everybody_agrees_on_every_byte(tmp_path: Path) -> None:
    """One run for all of this: it costs some seconds to start."""
    changes = {key.replace(".", "__"): value for key, value in SMALL.items()}
    run, said = ran("smoke", tmp_path, duration=1.5, load__rate=25, load__generators=2, **changes)
    account, load, checked = run.conservation, run.generator, run.verification

    assert faults_of(run) == []
    assert record.read(tmp_path) == run
    assert 0 < checked.bytes_checked <= account.client_bytes
    assert checked.files_checked > 0
    assert len(account.sums) == 2
    assert account.holds
    assert sum(sum(moment.bytes.values()) for moment in run.series) == sum(account.proxy_bytes.values())
    assert sum(moment.origin_bytes for moment in run.series) == account.origin_bytes > 0
    assert (load.processes, load.sent + load.dropped) == (2, load.planned)
    assert {"revision", "tree", "head"} <= {one.kind for one in run.latencies.whole}
    assert run.latencies.intervals
    assert [phase for phase in ("starting", "running", "settling") if f"smoke: {phase}" not in said] == []
    assert "requests/s" in said


def test_a_herd_costs_the_origin_one_fill(tmp_path: Path) -> None:
    run, _ = ran(
        "herd",
        tmp_path,
        load__clients=12,
        load__within=0.2,
        catalogue__mean="4MiB",
        catalogue__shard="2MiB",
        origin__bandwidth="20MB/s",
    )
    assert faults_of(run) == []
    assert len(run.fairness) == 12
    assert run.conservation.client_bytes > 12 * (4 << 20)
    assert run.conservation.origin_bytes < 1.02 * (4 << 20) + 100_000


def test_a_lie_of_the_origin_that_reaches_a_client_fails_the_run(tmp_path: Path) -> None:
    """A range of a file that is not here yet cannot be proven before it is sent: the client sees the wrong byte."""
    lie = [{"do": "origin-lie", "at": 0, "seconds": 60, "byte": 1_048_600}]
    run, _ = ran(
        "smoke",
        tmp_path,
        duration=1.0,
        load__rate=20,
        catalogue__popular=1,
        catalogue__once=0,
        catalogue__mean="8MiB",
        catalogue__sigma=0,
        catalogue__shard="8MiB",
        clients__acts={"range": 1},
        clients__range_size="2MiB",
        faults=lie,
    )
    assert run.verification.wrong > 0
    assert any("wrong bytes" in text for text in faults_of(run))
    assert any("byte 1048600 of 8388608 is wrong" in one.example for one in run.errors)
    assert [mark.name for mark in run.marks] == ["origin-lie", "origin-lie over"]


def test_a_mirror_that_is_killed_is_started_again_and_its_absence_is_no_fault(tmp_path: Path) -> None:
    run, _ = ran(
        "restart",
        tmp_path,
        duration=1.5,
        load__rate=20,
        load__patience="30s",
        catalogue__popular=3,
        catalogue__mean="300kB",
        faults=[{"do": "node-kill", "at": 0.5, "seconds": 0.1}],
        promises=[],
    )
    assert faults_of(run) == []
    assert [mark.name for mark in run.marks] == ["node-kill", "node-kill over"]
    assert run.conservation.sums == (), "what a killed mirror had counted is gone"


def test_another_machine_is_not_put_under_load_unasked() -> None:
    with pytest.raises(ScenarioError, match="--i-own-this-target"):
        allowed("http://mirror.example:8080", None, is_owned=False)
    assert allowed("http://mirror.example:8080", None, is_owned=True).url == "http://mirror.example:8080"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"])
def test_this_machine_may_be_put_under_load(url: str) -> None:
    assert allowed(url, None, is_owned=False).url == url
