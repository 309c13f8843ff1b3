"""Documents name things that exist: tests, metrics, settings, files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.config.knobs import knobs
from proxy.telemetry.metrics import NODE_METRICS, WORKER_METRICS

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def _named(page: str, pattern: str) -> set[str]:
    return set(re.findall(pattern, (ROOT / page).read_text()))


def test_every_threat_names_tests_that_exist() -> None:
    named = _named("SECURITY.md", r"`(?:tests/[\w/]+/)?(test_\w+\.py)`")
    assert len(named) > 20
    assert named <= {path.name for path in (ROOT / "tests").rglob("test_*.py")}


def test_operations_names_metrics_that_exist() -> None:
    have = {row.name.removeprefix("penstock_") for row in (*WORKER_METRICS, *NODE_METRICS)}
    named = _named(
        "docs/operations.md",
        r"`(?:penstock_)?([a-z_]+_(?:total|seconds|reads|calls|open|remaining|up|writable|bytes))\b",
    )
    assert len(named) > 15
    assert named <= have


def test_operations_names_settings_that_exist() -> None:
    sections = "|".join({name.partition(".")[0] for name in knobs()})
    named = _named("docs/operations.md", rf"`((?:{sections})\.[a-z_]+)`")
    assert len(named) > 5
    assert named <= set(knobs())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []
