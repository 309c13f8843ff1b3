"""The command: what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from bench.scale.reality import TOLERANCE, Compared, Seen
from bench.scale.verb import scale

SMALL = """
[catalogue]
popular = 20
small_files = 1
[clients]
acts = { snapshot = 1 }
"""


def ran(*words: str) -> Result:
    return CliRunner().invoke(scale, words)


def test_run_prints_a_line_for_each_combination(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SMALL)
    given = ("--workload", str(tmp_path / "small.toml"), "--requests", "500", "--at-once", "1")
    done = ran("run", *given, "--nodes", "2,3", "--cache", "0.1,0.5", "--seed", "1,2")
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert len(lines) == 2 + 8
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["2"] * 4 + ["3"] * 4


def test_run_as_json_has_what_was_wanted_and_what_came_of_it(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SMALL)
    done = ran("run", "--workload", str(tmp_path / "small.toml"), "--requests", "500", "--nodes", "3", "--json")
    told = json.loads(done.output)
    assert told["wanted"]["nodes"] == 3
    assert 1.0 <= told["hottest"] < 3.0
    assert told["redis_per_second"]["at rest"] > 0


def test_a_number_that_is_none_is_a_mistake_of_the_caller() -> None:
    done = ran("run", "--nodes", "many")
    assert done.exit_code == 2
    assert "'many' is not a number" in done.output


def test_a_workload_that_is_none_is_told() -> None:
    assert ran("run", "--workload", "stady").exit_code == 2


def test_a_simulation_that_is_off_by_more_than_it_may_does_not_agree() -> None:
    model = Seen(origin_share=0.3, peer_share=0.5, hottest=1.1)
    near = Seen(0.3 + TOLERANCE.origin_share * 0.9, 0.5, 1.1)
    far = Seen(0.3, 0.5, 1.1 + TOLERANCE.hottest * 1.1)
    assert Compared(model, near, 1, 1, 0.0).agree
    assert not Compared(model, far, 1, 1, 0.0).agree
