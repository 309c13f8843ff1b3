"""`penstock bench …` from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench import record
from bench.__main__ import VERBS, main
from bench.compare.verb import runs_at
from bench.record import Loop
from bench.scenario import Scenario
from bench.verbs.run import run as verb
from bench.verbs.run import wanted_of
from tests.kit.runs import sampled_run


@pytest.fixture
def written(tmp_path: Path) -> Path:
    record.write(sampled_run(seconds=3), tmp_path / "run.json")
    return tmp_path / "run.json"


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_report_writes_a_page_beside_the_run(written: Path) -> None:
    done = bench("report", written)
    assert done.exit_code == 0
    assert (written.parent / "report.html").read_text().startswith("<!doctype html>")


def test_report_says_whether_the_run_was_good(written: Path) -> None:
    assert bench("report", written).stderr.startswith("Nothing failed, but the numbers may mislead: ")


def test_a_missing_run_is_not_found(tmp_path: Path) -> None:
    done = bench("report", tmp_path / "nothing")
    assert done.exit_code == 3
    assert "there is no run at" in done.stderr


def test_what_is_no_run_is_an_error_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"schema": 1}')
    done = bench("report", tmp_path)
    assert done.exit_code == 1
    assert "scenario: Field required" in done.stderr
    assert not (tmp_path / "report.html").exists()


def test_a_page_that_cannot_be_written_is_an_error(written: Path) -> None:
    done = bench("report", written, "-o", "/proc/nowhere/report.html")
    assert done.exit_code == 1
    assert "/proc/nowhere/report.html: No such file" in done.stderr


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    for side, slower in (("before", 1.0), ("after", 1.4)):
        (tmp_path / side).mkdir()
        record.write(sampled_run(seconds=12, slower=slower), tmp_path / side / "run.json")
    return tmp_path / "before", tmp_path / "after"


def test_cmp_tells_what_changed(pair: tuple[Path, Path]) -> None:
    done = bench("cmp", *pair)
    assert done.exit_code == 0
    assert "ttfb_p50" in done.stdout
    assert "WORSE" in done.stdout


def test_cmp_fails_when_a_condition_holds(pair: tuple[Path, Path]) -> None:
    done = bench("cmp", *pair, "--fail-if", "ttfb_p50>+10%", "--fail-if", "errors>50%")
    assert done.exit_code == 1
    assert "✗ ttfb_p50>+10%: holds" in done.stdout
    assert "✓ errors>50%: does not hold" in done.stdout


def test_cmp_refuses_a_condition_that_is_none(pair: tuple[Path, Path]) -> None:
    done = bench("cmp", *pair, "--fail-if", "tfb_p50>+10%")
    assert done.exit_code == 2
    assert "did you mean 'ttfb_p50'?" in done.stderr


def test_cmp_writes_json_and_html(pair: tuple[Path, Path], tmp_path: Path) -> None:
    done = bench("cmp", *pair, "--json", "-o", tmp_path / "cmp.html", "--fail-if", "ttfb_p50>1us", "--draws", "100")
    found = json.loads(done.stdout)
    assert found["changes"]["ttfb_p50"]["judgement"] == "worse"
    assert found["conditions"][0]["holds"] is True
    assert "1 of 1 conditions to fail holds" in (tmp_path / "cmp.html").read_text()


def test_cmp_takes_a_folder_of_runs_for_a_side(pair: tuple[Path, Path]) -> None:
    assert len(runs_at(pair[0].parent)) == 2
    assert bench("cmp", pair[0].parent, pair[1], "--draws", "100").exit_code == 0


def test_cmp_does_not_find_what_is_not_there(tmp_path: Path) -> None:
    done = bench("cmp", tmp_path, tmp_path)
    assert done.exit_code == 3
    assert "there is no run at" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "smok"], "did you mean smoke?"),
        (["run", "smoke", "--set", "load.rat=3"], "did you mean load.rate?"),
        (["run", "smoke", "--find-max"], "--find-max needs conditions"),
        (["run", "herd", "--find-max", "--slo", "ttfb_p99<100ms"], "has no rate to be searched"),
        (["run", "smoke", "--find-max", "--slo", "tfb_p99<100ms"], "did you mean 'ttfb_p99'?"),
        (["run", "smoke", "--target", "http://mirror.example"], "--i-own-this-target"),
        (["run", "smoke", "--target", "ftp://127.0.0.1"], "is no address"),
        (["run", "restart", "--target", "http://127.0.0.1:1"], "--without"),
        (["trace", "-o", "x"], "name a scenario, or a log"),
        (["trace", "ranges", "-o", "x"], "is a closed loop"),
    ],
)
def test_what_cannot_be_run_is_a_wrong_command_line(arguments: list[str], told: str) -> None:
    done = bench(*arguments)
    assert done.exit_code == 2
    assert told in done.stderr


def asked(*arguments: str) -> Scenario:
    given = verb.make_context("run", list(arguments)).params
    return wanted_of(given.pop("name"), given).scenario


def test_clients_are_those_of_a_closed_loop_or_of_the_herd() -> None:
    assert asked("smoke").load.loop is Loop.OPEN
    closed, herd = asked("smoke", "--clients", "3").load, asked("herd", "--clients", "3").load
    assert (closed.loop, closed.clients) == (Loop.CLOSED, 3)
    assert (herd.loop, herd.clients) == (Loop.OPEN, 3)


def test_a_key_that_is_set_is_stronger_than_its_flag() -> None:
    assert asked("smoke", "--rate", "5", "--set", "load.rate=7").load.rate == 7


def test_a_trace_is_written_for_a_simulator(tmp_path: Path) -> None:
    done = bench("trace", "smoke", "--set", "duration=2", "--form", "csv", "-o", tmp_path / "trace.csv")
    assert done.exit_code == 0
    assert (tmp_path / "trace.csv").read_text().startswith("time,object,size\n")


@pytest.mark.parametrize("verb_name", VERBS)
def test_every_verb_has_a_help_with_an_example(verb_name: str) -> None:
    done = bench(verb_name, "--help")
    assert done.exit_code == 0
    assert f"penstock bench {verb_name}" in done.stdout


def test_an_unknown_verb_is_a_wrong_command_line() -> None:
    assert bench("repotr").exit_code == 2


# A finder that is asked before all others and says of one package that it is not there.
_WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
from proxy.cli.main import main
main(prog_name="penstock")
"""


def without(package: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _WITHOUT.format(package=package), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_without_the_harness_the_command_says_what_to_install() -> None:
    done = without("bench", "bench", "report", "x")
    assert done.returncode == 1
    assert "pip install 'penstock[bench]'" in done.stderr


def test_without_a_library_of_the_harness_too(written: Path) -> None:
    done = without("hdrh", "bench", "report", str(written))
    assert done.returncode == 1
    assert "needs hdrh" in done.stderr
    assert "pip install 'penstock[bench]'" in done.stderr
