"""The runbook: for every alert what is wrong, what to ask, what to look at and what to do; and all of it exists."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from proxy.cli.main import main
from proxy.config.knobs import knobs
from tests.deploy.metrics import asked_for, known_metrics, names_in, recorded
from tests.kit.judges import DEPLOY, ROOT, judged

PAGE = ROOT / "docs/operations.md"
PROGRAMS = frozenset(
    [
        "chronyc",
        "curl",
        "df",
        "dmesg",
        "du",
        "fsck",
        "grep",
        "journalctl",
        "kubectl",
        "ls",
        "lsof",
        "mount",
        "openssl",
        "penstock",
        "redis-cli",
        "rm",
        "ss",
        "systemctl",
        "timedatectl",
        "top",
    ]
)
"""What a line of the runbook may begin with to be a command."""


ALERTS = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]


@dataclass(frozen=True, slots=True)
class Entry:
    """What the page says of one alert."""

    symptom: str
    metric: str
    look: str
    act: str


@cache
def _page() -> str:
    return PAGE.read_text()


def _entry(alert: str) -> Entry:
    """Raises AssertionError when a part is missing, or there twice."""
    text = _page().partition(f"\n### {alert}\n")[2].partition("\n## ")[0].partition("\n### ")[0]
    parts = re.split(r"\*(Metric|Look|Do):\*", " ".join(text.split()))
    assert parts[1::2] == ["Metric", "Look", "Do"], f"{alert} has {parts[1::2]}"
    return Entry(*(part.strip() for part in parts[::2]))


def _quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def _commands(text: str) -> list[str]:
    return [word for word in _quoted(text) if word.split()[0] in PROGRAMS]


def _settings(text: str) -> list[str]:
    return [word for word in _quoted(text) if word in knobs()]


def _names(alert: dict[str, Any]) -> str:
    return str(alert["alert"])


@pytest.mark.parametrize("alert", ALERTS, ids=_names)
def test_every_alert_says_what_is_wrong_what_to_ask_to_look_at_and_to_do(alert: dict[str, Any]) -> None:
    entry = _entry(alert["alert"])
    assert entry.symptom.endswith("."), "a sentence"
    assert asked_for(entry.metric) & asked_for(alert["expr"]), "it names what the alert goes by"
    assert _commands(entry.look) or _settings(entry.look)
    assert _commands(entry.act) or _settings(entry.act)


@pytest.mark.parametrize("alert", ALERTS, ids=_names)
def test_every_alert_has_a_command_to_look_with(alert: dict[str, Any]) -> None:
    entry = _entry(alert["alert"])
    assert _commands(entry.look) or "#penstock" in entry.look


def test_what_it_asks_prometheus_is_promql_over_metrics_that_exist(tmp_path: Path) -> None:
    queries = [query for alert in ALERTS for query in _quoted(_entry(alert["alert"]).metric) if names_in(query)]
    assert len(queries) > 2 * len(ALERTS) - 20
    known = {*known_metrics(), *recorded(), "up"}
    assert [query for query in queries if not names_in(query) <= known] == []
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "page", "rules": rules}]}))
    judged("promtool", "check", "rules", "rules.yml", folder=tmp_path)


def test_every_metric_of_the_page_exists() -> None:
    named = set(re.findall(r"(?<!:)\bpenstock_[a-z_]+", _page()))
    assert len(named) > 30
    assert named <= known_metrics()


def test_every_command_of_ours_is_one_that_is_understood() -> None:
    commands = {" ".join(word.split()) for word in _quoted(_page()) if re.match(r"penstock [a-z]", word)}
    assert len(commands) > 25
    assert {said: fault for said in commands if (fault := _fault(said))} == {}


def test_a_command_that_is_not_understood_is_found_out() -> None:
    assert _fault("penstock scrub --speed 3")
    assert _fault("penstock mend")
    assert _fault("penstock cluster placement")


def _fault(said: str) -> str:
    """What the command line says is wrong with it; nothing is run."""
    # A file that the page names need not be on this machine.
    words = shlex.split(re.sub(r"--config \S+", f"--config {ROOT}/config/reference.toml", said))
    name, command = words.pop(0), main
    context = click.Context(main, info_name=name)
    try:
        while isinstance(command, click.Group) and words:
            name, command, words = command.resolve_command(context, words)
        if not isinstance(command, click.Group):
            command.make_context(name, words, parent=context)
    except click.UsageError as error:
        return error.format_message()
    return ""
