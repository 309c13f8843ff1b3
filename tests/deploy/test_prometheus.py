"""Rules, alerts and their runbook."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.deploy.metrics import asked_for, known_metrics, names_in
from tests.kit.judges import DEPLOY, ROOT, judged

RULES = DEPLOY / "prometheus"


def _rules(file: str) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load((RULES / file).read_text())["groups"] for rule in group["rules"]]


ALERTS = _rules("alerts.yml")
RECORDED = _rules("recording.yml")
CASES = yaml.safe_load((RULES / "rules_test.yml").read_text())["tests"]


def test_promtool_takes_the_rules() -> None:
    assert "SUCCESS" in judged("promtool", "check", "rules", "alerts.yml", "recording.yml", folder=RULES)


def test_every_alert_fires_when_it_should_and_is_silent_when_it_should_not() -> None:
    assert "SUCCESS" in judged("promtool", "test", "rules", "rules_test.yml", folder=RULES)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(alert: dict[str, Any]) -> None:
    cases = [case for case in CASES if case["name"].startswith(f"{alert['alert']}: ")]
    wanted = f'count(ALERTS{{alertname="{alert["alert"]}", alertstate="firing"}})'
    for case in cases:
        [asked] = case["promql_expr_test"]
        assert asked["expr"] == wanted
        fed = {series["series"].partition("{")[0] for series in case["input_series"]}
        assert fed & asked_for(alert["expr"]), "it is fed what the alert goes by"
    assert {bool(case["promql_expr_test"][0]["exp_samples"]) for case in cases} == {True, False}


def test_every_rule_asks_for_metrics_that_exist() -> None:
    known = {*known_metrics(), *(rule["record"] for rule in RECORDED), "up"}
    for rule in (*ALERTS, *RECORDED):
        assert names_in(rule["expr"]) <= known, rule


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_every_alert_leads_to_its_heading_in_the_runbook(alert: dict[str, Any]) -> None:
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    text = (ROOT / page).read_text()
    assert anchor == alert["alert"].lower()
    assert f"\n### {alert['alert']}\n" in text
    assert alert["labels"]["severity"] in ("page", "ticket", "info")
    assert alert["annotations"]["summary"]


def test_the_runbook_has_no_heading_of_an_alert_that_is_gone() -> None:
    headings = re.findall(r"^### (Penstock\w+)$", (ROOT / "docs/operations.md").read_text(), re.M)
    assert headings == [alert["alert"] for alert in ALERTS]


def test_links_of_the_runbook_to_its_own_headings_lead_somewhere() -> None:
    text = (ROOT / "docs/operations.md").read_text()
    headings = {
        re.sub(r"[^\w\- ]", "", line).lower().replace(" ", "-") for line in re.findall(r"^#+ (.+)$", text, re.M)
    }
    assert {*re.findall(r"\]\(#([^)]+)\)", text)} <= headings
