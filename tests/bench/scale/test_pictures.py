"""Pictures of outcomes."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any
from xml.etree import ElementTree

from bench.scale.chart import Chart, Line
from bench.scale.outcome import Outcome, Wanted
from bench.scale.pictures import pictures

WANTED = Wanted(nodes=23, cache=0.05, requests=1000, seed=1)
OUTCOME = Outcome(WANTED, 1000, 60.0, 10**12, 10**9, 10.0, 1e9, 0.5, 0.2, 0.6, 1.5, 1.1, 1.3, 0.4, 1e8, 0, 0, {})
SVG = "{http://www.w3.org/2000/svg}"


def plain(cache: float, seed: int, hits: float, **changes: Any) -> dict[str, Any]:
    wanted = replace(WANTED, cache=cache, seed=seed, **changes)
    return asdict(replace(OUTCOME, wanted=wanted, hit_ratio=hits))


def test_each_point_is_the_mean_over_seeds_and_changed_rules_are_left_out() -> None:
    given = [plain(0.05, 1, 0.4), plain(0.05, 2, 0.6), plain(0.5, 1, 0.8)]
    same = [plain(0.05, 1, 0.5), plain(0.5, 1, 0.8)]
    assert pictures([*given, plain(0.05, 1, 0.9, owned_stay=False)])["hits.svg"] == pictures(same)["hits.svg"]


def test_a_picture_names_every_line_and_draws_it() -> None:
    drawn = ElementTree.fromstring(pictures([plain(0.05, 1, 0.4), plain(0.5, 1, 0.8)])["hits.svg"])
    words = [text.text for text in drawn.iter(f"{SVG}text")]
    assert {"23 nodes: not from the origin", "23 nodes: own disk", "theory: one cache, LRU"} <= set(words)
    strokes = [path for path in drawn.iter(f"{SVG}path") if path.get("fill") == "none"]
    assert len(strokes) == 3


def test_more_is_higher_and_further_right() -> None:
    line = Line("a", ((0.1, 0.0), (1.0, 1.0)))
    chart = Chart("c & d", "x", (line,), ((0.1, "low"), (1.0, "high")), ((0.0, "0"), (1.0, "1")))
    drawn = ElementTree.fromstring(chart.svg())
    first, second = [(float(dot.get("cx", "")), float(dot.get("cy", ""))) for dot in drawn.iter(f"{SVG}circle")]
    assert first[0] < second[0]
    assert first[1] > second[1]
