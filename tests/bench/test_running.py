"""Whole runs of a second or two: Hub, mirror, load, record, verdict, as separate processes on loopback."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from click.testing import CliRunner
from rich.console import Console

from bench import record, running, verdict
from bench.__main__ import main
from bench.conditions import parsed
from bench.conduct import drive
from bench.find_max import Probe, searched
from bench.fleet import places
from bench.live import Silent, watching
from bench.load.trace import from_log
from bench.node import Node, all_running
from bench.record import Run
from bench.recording import recorded
from bench.running import allowed, chosen
from bench.scenario import ScenarioError
from bench.standing import Stand, Target, standing
from bench.verdict import Weight
from bench.wanted import Wanted, plan_of
from tests.bench.load.test_trace import line as logged
from tests.kit.node import REPO_ROOT
from tests.kit.waiting import until

SMALL = {
    "catalogue.popular": 6,
    "catalogue.once": 60,
    "catalogue.mean": "2500KiB",
    "catalogue.sigma": 0,
    "load.linger": "60s",
}
"""Small repos, all alike: one stand serves all the tests below, and each takes what it needs."""


def faults_of(run: Run) -> list[str]:
    return [finding.text for finding in verdict.findings(run) if finding.weight is Weight.FAULT]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    plan = plan_of(Wanted("smoke", chosen("smoke", SMALL)), tmp_path_factory.mktemp("stand"))
    async with standing(plan, Silent()) as found:
        yield found


async def ran(stand: Stand, name: str, **changes: Any) -> tuple[Run, str]:
    """The run, and what a log would have seen of it."""
    wanted = chosen(name, {**SMALL, **{key.replace("__", "."): value for key, value in changes.items()}})
    said = io.StringIO()
    with watching(name, wanted.duration, Console(file=said, width=200)) as watcher:
        outcome = await drive(stand, wanted, watcher)
    return recorded(name, wanted, outcome), said.getvalue()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_herd_costs_the_origin_one_fill(stand: Stand) -> None:
    narrow = [{"do": "origin-slow", "at": 0, "seconds": 60, "bandwidth": "5MB/s"}]
    run, _ = await ran(stand, "herd", load__clients=12, load__within=0.2, faults=narrow)
    assert faults_of(run) == []
    assert len(run.fairness) == 12
    assert run.conservation.client_bytes > 12 << 20
    assert run.conservation.origin_bytes == pytest.approx(run.conservation.unique_bytes, rel=0.02)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_healthy_mirror_passes_and_everybody_agrees_on_every_byte(stand: Stand) -> None:
    """One run for all of this: it costs some seconds."""
    run, said = await ran(stand, "smoke", duration=1.5, load__rate=25, load__generators=2, seed=2)
    account, load, checked = run.conservation, run.generator, run.verification

    assert faults_of(run) == []
    assert 0 < checked.bytes_checked <= account.client_bytes
    assert checked.files_checked > 0
    assert len(account.sums) == 2
    assert account.holds
    assert sum(sum(moment.bytes.values()) for moment in run.series) == sum(account.proxy_bytes.values())
    assert sum(moment.origin_bytes for moment in run.series) == account.origin_bytes > 0
    assert (load.processes, load.sent + load.dropped) == (2, load.planned)
    assert {"revision", "tree", "head"} <= {one.kind for one in run.latencies.whole}
    assert run.latencies.intervals
    assert all(one.resident_bytes and one.descriptors for one in run.resources)
    assert [phase for phase in ("running", "settling") if f"smoke: {phase}" not in said] == []
    assert "requests/s" in said


@pytest.mark.asyncio(loop_scope="module")
async def test_a_closed_loop_has_as_many_clients_as_it_was_told(stand: Stand) -> None:
    run, _ = await ran(stand, "ranges", duration=0.5, load__clients=3, promises=[])
    assert faults_of(run) == []
    assert max(moment.in_flight for moment in run.series) <= 3
    assert run.generator.dropped == 0


@pytest.mark.asyncio(loop_scope="module")
async def test_rates_are_tried_until_the_conditions_break(stand: Stand) -> None:
    wanted = Wanted("smoke", chosen("smoke", {**SMALL, "duration": 0.4, "load.rate": 60, "clients.acts": {"small": 1}}))
    told: list[float] = []
    conditions = [parsed("requests<25")]

    def tell(probe: Probe) -> None:
        told.append(probe.rate)

    found = await searched(stand, wanted, conditions, tell, Silent(), most_probes=3)
    assert found.rate in told
    assert found.run is not None
    assert [probe.rate for probe in found.probes] == told
    assert any("requests<25 (found: " in probe.why for probe in found.probes)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_lie_of_the_origin_that_reaches_a_client_fails_the_run(stand: Stand) -> None:
    """A range of a file that is not here yet cannot be proven before it is sent: the client sees the wrong byte.
    The last one on the stand: the lie stays there."""
    run, _ = await ran(
        stand,
        "smoke",
        duration=0.5,
        load__rate=20,
        clients__acts={"range": 1},
        clients__range_size="1MiB",
        clients__once_share=1,
        faults=[{"do": "origin-lie", "at": 0, "seconds": 60, "byte": 1_048_600}],
    )
    assert run.verification.wrong > 0
    assert any("wrong bytes" in text for text in faults_of(run))
    assert any("byte 1048600 of 2560000 is wrong" in one.example for one in run.errors)
    assert [mark.name for mark in run.marks] == ["origin-lie", "origin-lie over"]


FLEET = """
about = "A scenario that nobody has written a line of code for."
duration = "2s"
promises = ["errors<=0%"]

[catalogue]
popular = 4
mean = "300kB"

[load]
rate = 15
linger = "60s"
patience = "30s"

[clients]
acts = { snapshot = 1, range = 1 }
returns = 20

[proxy]
nodes = 2

[[faults]]
at = 0.4
seconds = 0.2
do = "redis-kill"

[[faults]]
at = 0.8
seconds = 0.1
do = "node-kill"
node = 1
"""


def test_a_fleet_loses_its_redis_and_a_node_and_no_client_loses_a_byte(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(FLEET)
    done = CliRunner().invoke(main, ["run", str(file), "--out", str(tmp_path / "out"), "--json"])
    assert done.exit_code == 0, done.stderr
    run = record.read(tmp_path / "out")
    assert json.loads(done.stdout)["scenario"]["name"] == "mine"
    assert faults_of(run) == []
    assert sorted(mark.name for mark in run.marks) == [
        *("node-kill n1", "node-kill n1 over"),
        *("redis-kill", "redis-kill over"),
    ]
    assert run.conservation.sums == (), "what a killed mirror had counted is gone"
    assert "a mirror that was killed" in done.stderr


@pytest.mark.asyncio
async def test_a_log_is_replayed_against_a_mirror_that_runs_elsewhere(tmp_path: Path) -> None:
    (hub,) = places(1)
    log = tmp_path / "access.log"
    log.write_bytes(logged(0) + logged(4, status=206, range="bytes=10-19", size=10) + logged(8, "b.bin", size=3 << 20))
    trace = from_log(log, speed=20)
    mirror = Node(tmp_path, f"http://{hub}", tmp_path / "disk", size=1 << 30, workers=1, settings={}, cores=None)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(all_running([mirror]))
        target = Target(f"http://{mirror.address}", mirror.admin)
        wanted = Wanted("replay", chosen("replay", {"duration": trace.seconds}), target, hub, trace)
        run = await running.conducted(wanted, Silent())
    assert faults_of(run) == []
    assert run.target == target.url
    assert run.conservation.client_bytes == 1000 + 10 + (3 << 20)
    assert run.conservation.holds
    assert len(run.conservation.sums) == 2
    assert run.cost is None


def members(session: int) -> list[int]:
    """The processes of a session that still are."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(stat.parent.name))
    return found


@pytest.mark.asyncio
async def test_a_run_that_is_killed_leaves_nothing_running(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "bench", "run", "smoke", "--duration", "60", "--out", str(tmp_path))
    process = await asyncio.create_subprocess_exec(
        *command, start_new_session=True, stderr=asyncio.subprocess.PIPE, cwd=REPO_ROOT
    )
    assert process.stderr is not None
    while b"running" not in await process.stderr.readline():
        assert not process.stderr.at_eof()
    assert len(members(process.pid)) >= 4, "the harness, the Hub, the mirror, the load"
    process.kill()
    await process.wait()
    await until(lambda: not members(process.pid), "all of them have ended")


def test_what_is_not_ours_is_not_killed() -> None:
    wanted = Wanted("restart", chosen("restart", {}), Target("http://127.0.0.1:1", None))
    with pytest.raises(ScenarioError, match="--without"):
        running.check(wanted)


def test_another_machine_is_not_put_under_load_unasked() -> None:
    with pytest.raises(ScenarioError, match="--i-own-this-target"):
        allowed("http://mirror.example:8080", None, is_owned=False)
    assert allowed("http://mirror.example:8080", None, is_owned=True).url == "http://mirror.example:8080"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"])
def test_this_machine_may_be_put_under_load(url: str) -> None:
    assert allowed(url, None, is_owned=False).url == url
