"""The dashboard is what its program makes, and asks for what there is."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from deploy.grafana.dashboard import dashboard, queries
from tests.deploy.metrics import known_metrics, names_in
from tests.kit.judges import DEPLOY, judged


def test_the_file_is_what_the_program_makes() -> None:
    file = json.loads((DEPLOY / "grafana/penstock.json").read_text())
    assert file == dashboard(), "run: make generated"


def test_every_query_asks_for_metrics_that_exist() -> None:
    groups = yaml.safe_load((DEPLOY / "prometheus/recording.yml").read_text())["groups"]
    recorded = {rule["record"] for group in groups for rule in group["rules"]}
    for query in queries():
        assert names_in(query), query
        assert names_in(query) <= {*known_metrics(), *recorded}, query


def test_every_query_is_promql(tmp_path: Path) -> None:
    """promtool parses it, once Grafana's variables are replaced."""
    rules = []
    for query in queries():
        if not query.startswith("label_values"):
            plain = (
                query.replace("$__rate_interval", "5m")
                .replace("$__range", "1h")
                .replace("$job", "a")
                .replace("$instance", "b")
            )
            rules.append({"record": f"query:{len(rules)}", "expr": plain})
    text = yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]})
    (tmp_path / "rules.yml").write_text(text)
    judged("promtool", "check", "rules", "rules.yml", folder=tmp_path)


def test_panels_do_not_overlap_and_bear_numbers_of_their_own() -> None:
    panels = dashboard()["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_every_panel_has_a_unit_a_legend_and_says_what_it_shows() -> None:
    panels = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
    assert len(panels) > 30
    for panel in panels:
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["description"], panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]
