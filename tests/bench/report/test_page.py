"""The page as text: whole, self-contained, and deaf to what a record says."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench.record import ClientShare, ErrorClass, Mark, Promise, Run, Sum
from bench.report import page
from bench.report.assets import Assets, MissingAsset, assets
from tests.kit.runs import sampled_run

PLAIN = Assets(scripts=("plain()",), styles=("plain{}",))
HOSTILE = "\"'><script>hit()</script><img src=x onerror=hit()>{{7*7}}</script>"


@pytest.fixture(scope="module")
def run() -> Run:
    return sampled_run(seconds=12)


def hostile(run: Run) -> Run:
    """A record in which everything that is text is an attack."""
    scenario = replace(run.scenario, name=HOSTILE, settings={HOSTILE: {HOSTILE: [HOSTILE]}})
    environment = replace(run.environment, cpu=HOSTILE, kernel=HOSTILE, versions={HOSTILE: HOSTILE}, pinning=HOSTILE)
    account = replace(run.conservation, sums=(Sum(HOSTILE, 1, 2),))
    whole = tuple(replace(one, kind=HOSTILE) for one in run.latencies.whole)
    return replace(
        run,
        scenario=scenario,
        environment=environment,
        conservation=account,
        latencies=replace(run.latencies, whole=whole),
        generator=replace(run.generator, saturated=HOSTILE),
        marks=(Mark(3.0, HOSTILE),),
        errors=(ErrorClass(HOSTILE, 1, HOSTILE),),
        fairness=(ClientShare(HOSTILE, 1, 1.0), ClientShare(HOSTILE, 2, 1.0)),
        promises=(Promise(HOSTILE, False, HOSTILE),),
        target=HOSTILE,
    )


def test_a_hostile_record_becomes_text(run: Run) -> None:
    text = page.rendered(hostile(run), PLAIN)
    assert text.count("<script>") == len(PLAIN.scripts)
    assert "<img" not in text
    assert "49" not in re.findall(r"onerror=hit\(\)&gt;(\d+)", text)


def test_the_drawing_is_json_that_cannot_end_its_script(run: Run) -> None:
    text = page.rendered(hostile(run), PLAIN)
    inside = text.split('id="drawing">')[1].split("</script>")[0]
    assert json.loads(inside)["plots"][0]["name"] == "throughput"


def test_nothing_on_the_page_has_an_address_elsewhere(run: Run) -> None:
    addresses = re.findall(r"""(?:src|href|action)\s*=\s*["']?([^"'> ]+)""", page.rendered(run, PLAIN))
    assert addresses == ["data:,"]


def test_the_policy_names_the_scripts_of_the_page_and_no_others() -> None:
    policy = PLAIN.policy()
    assert policy.startswith("default-src 'none'; ")
    assert policy.count("'sha256-") == 2
    assert "unsafe" not in policy


def test_marks_are_lettered() -> None:
    assert [page.letter(number) for number in (0, 25, 26, 53)] == ["A", "Z", "A1", "B2"]


def test_the_command_to_run_it_again_is_quoted(run: Run) -> None:
    named = replace(run, scenario=replace(run.scenario, name="a b;c"))
    assert page.again(named) == "penstock bench run 'a b;c' --seed 1"


def test_a_missing_uplot_is_an_error_that_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(MissingAsset, match="uPlot, which draws the plots, is not installed") as caught:
        assets(tmp_path)
    assert "npm ci --prefix" in caught.value.remedy


def test_what_could_end_its_script_early_is_not_carried(tmp_path: Path) -> None:
    (tmp_path / "LICENSE").write_text("</ScRiPt>")
    with pytest.raises(MissingAsset, match="cannot be written into a page"):
        assets(tmp_path)


def test_the_licence_of_uplot_goes_with_it() -> None:
    carried = assets()
    assert "The MIT License" in carried.scripts[0]
    assert "The MIT License" in carried.styles[0]
