"""The walk through the runbook: it knows every alert, its rules are those that are shipped but for their lengths of
time, and a few alerts are walked here as the person on call would."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
import yaml

from deploy.walk.__main__ import all_paths, walked
from deploy.walk.page import rows, texts
from deploy.walk.rules import quick, quick_expression
from tests.kit.judges import DEPLOY

PATHS = {alert: path for path in all_paths() for alert in path.alerts}
FILES = ("alerts.yml", "recording.yml")


def _shipped(file: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus" / file).read_text())
    return document


def _rules(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [rule for group in document["groups"] for rule in group["rules"]]


def test_every_alert_is_walked_once() -> None:
    walked_to = [alert for path in all_paths() for alert in path.alerts]
    assert sorted(walked_to) == sorted(rule["alert"] for rule in _rules(_shipped("alerts.yml")))


def test_the_table_of_the_page_is_what_is_walked() -> None:
    """Its figures are those of one walk; its words are these."""
    found = rows()
    assert list(found) == [rule["alert"] for rule in _rules(_shipped("alerts.yml"))]
    for alert, row in found.items():
        words, figures = row[: len(texts(alert, PATHS[alert]))], row[len(texts(alert, PATHS[alert])) :]
        assert words == texts(alert, PATHS[alert]), "run: python -m deploy.walk --write"
        assert re.fullmatch(r" \d+ s \| \d+ s \|", figures), f"{alert} has not been walked to its end"


@pytest.mark.parametrize(
    ("shipped", "expected"),
    [
        ("increase(a_total[1h]) > 0", "increase(a_total[10s]) > 0"),
        ("rate(a_bucket[6h]) < 86400", "rate(a_bucket[36s]) < 86400"),
        ("max_over_time(sum(a)[1h:1m])", "max_over_time(sum(a)[10s:1s])"),
        ("a unless a offset 1h", "a unless a offset 10s"),
        ("job:a:ratio_rate5m > 14.4 * 0.001", "job:a:ratio_rate5m > 14.4 * 0.001"),
        ("a - time() < 14 * 86400", "a - time() < 14 * 86400"),
    ],
)
def test_windows_become_short_and_conditions_stay(shipped: str, expected: str) -> None:
    assert quick_expression(shipped) == expected


@pytest.mark.parametrize("file", FILES)
def test_the_quick_rules_are_those_that_are_shipped(file: str) -> None:
    shipped = _rules(_shipped(file))
    for rule, made in zip(shipped, _rules(quick(_shipped(file))), strict=True):
        assert {**made, "expr": "", "for": ""} == {**rule, "expr": "", "for": ""}
        assert ("for" in made) == ("for" in rule)
        without_windows = re.compile(r"\[[^]]*\]|offset \w+")
        assert without_windows.sub("", made["expr"]) == without_windows.sub("", rule["expr"])


async def test_they_break_they_fire_the_page_is_followed_and_they_are_over() -> None:
    """Three walks at a time: each has nodes and a Prometheus of its own, and waits most of the while."""
    paths = [PATHS[alert] for alert in ("PenstockDown", "PenstockReloadRefused", "PenstockRedisAway")]
    for path, seen in zip(paths, await asyncio.gather(*map(walked, paths)), strict=True):
        assert set(seen.fired) == set(seen.over) == set(path.alerts)
