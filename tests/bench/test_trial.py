"""A trial of a fleet, small: what it prints and writes is what happened, and it sees what is left."""

from __future__ import annotations

import json
import sys
from asyncio import create_subprocess_exec, timeout
from asyncio.subprocess import PIPE
from pathlib import Path

from bench.trial.aftermath import left_over
from bench.trial.run import Outcome
from bench.trial.stand import FleetStand, Plan, redis_client
from tests.kit.node import REPO_ROOT

MIB = 1 << 20


def outcome(**other: object) -> Outcome:
    found = {
        "plan": {},
        "setting": {"fault": "none"},
        "wanted": 100,
        "origin_bytes": 100,
        "origin_requests": 1,
        "wall": 1.0,
        "wall_elsewhere": 1.0,
        "single": 1.0,
        "first_byte_worst": 0.1,
        "clients": 2,
        "complete": 2,
    }
    return Outcome(**{**found, **other})  # type: ignore[arg-type]


def test_one_error_one_wrong_byte_one_lease_or_one_short_client_is_not_good() -> None:
    assert outcome().is_good
    assert outcome(moved=["n0: Broken"]).is_good
    assert not outcome(errors=["n1: Broken"]).is_good
    assert not outcome(wrong=1).is_good
    assert not outcome(left=["Redis: penstock:lease:x"]).is_good
    assert not outcome(complete=1).is_good


async def test_a_trial_of_two_nodes(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    words = ["--nodes", "2", "--clients", "2", "--size", "3MiB", "--no-single", "--readers", "1", "--json", str(out)]
    process = await create_subprocess_exec(sys.executable, "-m", "bench.trial", *words, cwd=REPO_ROOT, stdout=PIPE)
    async with timeout(90):
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    (found,) = json.loads(out.read_text())
    assert (found["complete"], found["clients"], found["sha256_right"]) == (4, 4, 2)
    assert found["origin_bytes"] == found["wanted"] == 3 * MIB
    assert found["errors"] == found["left"] == []


async def test_a_lease_that_nobody_gives_back_is_seen(tmp_path: Path) -> None:
    plan = Plan(tmp_path, 2, 2 * MIB, None, redis=True, relays=False, missing=0, workers=1, settings={})
    async with FleetStand.open(plan) as stand:
        assert stand.redis is not None
        async with redis_client(stand.redis) as client:
            await client.set("penstock:lease:{x}:0", "nobody")
        assert await left_over(stand, patience=0.0) == ["Redis: 'penstock:lease:{x}:0'"]
