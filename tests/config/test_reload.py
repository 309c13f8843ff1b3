"""What SIGHUP takes over."""

from __future__ import annotations

from proxy.config.load import load
from proxy.config.reload import reloaded, with_changes
from proxy.config.schema import Config


def config(**flags: str) -> Config:
    named = {name.replace("__", "."): (f"--{name}", value) for name, value in flags.items()}
    return load(environment={}, flags=named).config


def test_only_knobs_marked_reload_are_taken_over() -> None:
    plan = reloaded(config(), config(log__level="debug", server__workers="9"))
    assert plan.config == config(log__level="debug")
    assert [str(change) for change in plan.taken] == ["log.level: info -> debug"]
    assert [change.name for change in plan.waiting] == ["server.workers"]


def test_a_second_reload_still_tells_what_waits_for_a_restart() -> None:
    first = reloaded(config(), config(server__workers="9"))
    assert [change.name for change in reloaded(first.config, config(server__workers="9")).waiting] == ["server.workers"]


def test_the_same_configuration_changes_nothing() -> None:
    plan = reloaded(config(log__level="debug"), config(log__level="debug"))
    assert (plan.taken, plan.waiting) == ((), ())


def test_a_knob_of_a_mounted_origin_would_be_taken_over_in_its_place() -> None:
    """None may change in flight yet; the one at the root, whose section has the same name, must not get it then."""
    mounted = {"origin__a__url": "https://a.example", "origin__b__url": "https://b.example"}
    running = config(**mounted)
    plan = reloaded(running, config(**mounted, origin__b__retries="7"))
    assert (plan.config, [str(one) for one in plan.waiting]) == (running, ["origin.b.retries: 4 -> 7"])
    taken = with_changes(running, plan.waiting)
    assert [one.retries for one in (taken.origin, *taken.mounted)] == [4, 4, 7]
