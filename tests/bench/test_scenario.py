"""Scenarios: those that come with us can be run, and every mistake in one is told, with what was meant."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from bench import scenario
from bench.faults import KINDS, DiskFull, NodeKill
from bench.reference import reference
from bench.scenario import Scenario, ScenarioError


def mistakes(text: str, tmp_path: Path) -> str:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(ScenarioError) as told:
        scenario.read(file, {})
    return str(told.value)


@pytest.mark.parametrize("name", scenario.names())
def test_every_scenario_of_ours_is_one(name: str) -> None:
    read = scenario.read(scenario.find(name), {})
    assert read.about
    assert all(fault.at < read.duration for fault in read.faults)


def test_all_that_the_handbook_names_is_there() -> None:
    promised = {"smoke", "herd", "steady", "ranges", "cold", "churn", "slow-readers", "restart"}
    promised |= {"node-loss", "chaos", "soak"}
    assert promised <= set(scenario.names())


def test_chaos_knows_every_fault() -> None:
    """But for the kill of a worker, which needs more processors, and the restart, which `restart` has."""
    kinds = {fault.do for fault in scenario.read(scenario.find("chaos"), {}).faults}
    assert set(KINDS) - kinds == {"worker-kill", "node-restart"}


def test_quantities_are_read_as_people_write_them(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('duration = "2m"\n[catalogue]\nmean = "3MiB"\n[origin]\nbandwidth = "50MB/s"')
    read = scenario.read(file, {})
    assert (read.duration, read.catalogue.mean, read.origin.bandwidth) == (120.0, 3 << 20, 50e6)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("duratoin = 3", "duratoin: there is no such key; did you mean duration?"),
        ("[load]\nrat = 3", "load.rat: there is no such key; did you mean load.rate?"),
        ("[load]\nrate = -3", "load.rate: should be greater than 0"),
        ('duration = "3 weeks"', "duration: '3 weeks' is not a duration"),
        ('promises = ["ttfb_p99<100 apples"]', "promises: 'ttfb_p99<100 apples'"),
        ('promises = ["ttfb_p99>+10%"]', "compares with another run"),
        ("[clients]\nacts = { snapshot = 0 }", "clients.acts: weights are not negative, and one is more than 0"),
        ('[load]\nshape = "herd"\nloop = "closed"', "a herd comes by the clock"),
        ('[[faults]]\nat = 1\ndo = "origin-lei"', "faults.0: "),
        ('[[faults]]\nat = 1\ndo = "origin-lie"\nbyt = 3', "faults.0.byt: there is no such key; did you mean byte?"),
        ('[[faults]]\nat = 1\ndo = "disk-full"', "set proxy.volume"),
        ('[[faults]]\nat = 1\ndo = "redis-kill"', "redis-kill needs a Redis"),
        ('[proxy]\nnodes = 3\nredis = false\n[[faults]]\nat = 1\ndo = "redis-pause"', "redis-pause needs a Redis"),
        ('[[faults]]\nat = 1\ndo = "node-kill"\nnode = 1', "befalls node 1, and the last one is 0"),
        ('[[faults]]\nat = 1\ndo = "worker-kill"', "set proxy.workers"),
        (
            '[[faults]]\nat = 1\nseconds = 3\ndo = "node-kill"\n[[faults]]\nat = 2\ndo = "node-pause"',
            "node-kill at 1 s is not over when node-pause comes at 2 s",
        ),
        ("not toml", "mine.toml"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, told: str, tmp_path: Path) -> None:
    assert told in mistakes(text, tmp_path)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    told = mistakes("duratoin = 3\n[load]\nrate = 0", tmp_path)
    assert "duratoin" in told
    assert "load.rate" in told


def test_keys_can_be_changed_from_outside() -> None:
    changes = dict(
        scenario.change(text) for text in ["load.rate=50", 'duration="3s"', "proxy.settings.fetch.span=4MiB"]
    )
    read = scenario.read(scenario.find("smoke"), changes)
    assert (read.load.rate, read.duration, read.proxy.settings) == (50.0, 3.0, {"fetch.span": "4MiB"})


def test_a_change_needs_a_value() -> None:
    with pytest.raises(ScenarioError, match=r"load\.rate=50"):
        scenario.change("load.rate")


def test_a_wrong_name_says_which_was_meant() -> None:
    with pytest.raises(ScenarioError, match="did you mean smoke"):
        scenario.find("smok")


def test_faults_are_read_as_what_they_do(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    kill, full = 'at = "1s"\ndo = "node-kill"', 'at = 2\ndo = "disk-full"\nfree = "1MiB"'
    file.write_text(f'[proxy]\nvolume = "64MiB"\n[[faults]]\n{kill}\n[[faults]]\n{full}')
    assert scenario.read(file, {}).faults == (
        NodeKill(at=1.0, do="node-kill"),
        DiskFull(at=2.0, do="disk-full", free=1 << 20),
    )


def test_a_fault_can_be_left_out_and_what_only_it_needed() -> None:
    chaos = scenario.read(scenario.find("chaos"), {})
    tame = chaos.without(["disk-full", "node-kill"])
    assert {fault.do for fault in chaos.faults} - {fault.do for fault in tame.faults} == {"disk-full", "node-kill"}
    assert chaos.proxy.volume is not None
    assert tame.proxy.volume is None
    assert chaos.without(["node-kill"]).proxy.volume is not None


def test_the_reference_is_a_scenario_that_changes_nothing() -> None:
    plain = tomllib.loads(reference())
    assert scenario.parsed(plain, "the reference") == Scenario()
    assert all(fault in reference() for fault in KINDS)


def test_the_handbook_names_every_scenario_and_every_fault() -> None:
    text = (Path(__file__).parents[2] / "docs" / "bench.md").read_text(encoding="utf-8")
    assert [name for name in [*scenario.names(), *KINDS] if f"`{name}`" not in text] == []
