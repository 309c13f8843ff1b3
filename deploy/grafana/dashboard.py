"""The Grafana dashboard: `python -m deploy.grafana.dashboard > deploy/grafana/penstock.json`.

Rows of panels as a table; a test compares the queries with the metrics there are, and the file with this program.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from proxy.telemetry.metrics import NODE_METRICS, WORKER_METRICS

_DATA: Final = {"type": "prometheus", "uid": "${datasource}"}
_OF: Final = 'job=~"$job", instance=~"$instance"'
_CLIENTS: Final = f'{_OF}, route!~"peer|manifest"'


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot, or a number (`kind` stat). `queries` are (expression, legend); `width` in 24ths of the page."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    meaning: str = ""
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False


def _rate(metric: str, by: str = "", of: str = _OF) -> str:
    return f"sum by ({by}) (rate({metric}{{{of}}}[$__rate_interval]))"


def _sum(metric: str, by: str = "", of: str = _OF) -> str:
    return f"sum by ({by}) ({metric}{{{of}}})"


def _quantile(share: float, metric: str, by: str = "", of: str = _OF) -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{{{of}}}[$__rate_interval])))"


_FROM_HERE: Final = f'{_CLIENTS}, source=~"disk|memory"'
_HITS: Final = (
    f"{_rate('penstock_response_bytes_total', of=_FROM_HERE)} / {_rate('penstock_response_bytes_total', of=_CLIENTS)}"
)

_CLOCK: Final = f"penstock_cluster_clock_ahead_seconds{{{_OF}}}"
ROWS: Final = {
    "Overview": (
        Panel(
            "Delivered",
            "Bps",
            ((_rate("penstock_response_bytes_total", of=_CLIENTS), "to clients"),),
            kind="stat",
            width=4,
        ),
        Panel("Byte hits", "percentunit", ((_HITS, "hits"),), "Delivered from disk or memory.", kind="stat", width=4),
        Panel(
            "First byte, p99",
            "s",
            ((_quantile(0.99, "penstock_time_to_first_byte_seconds", of=_CLIENTS), "p99"),),
            "Stock clients give up after 10 s.",
            kind="stat",
            width=4,
        ),
        Panel("From the origin", "Bps", ((_rate("penstock_upstream_bytes_total"), "origin"),), kind="stat", width=4),
        Panel("In flight", "short", ((_sum("penstock_requests_in_flight"), "requests"),), kind="stat", width=4),
        Panel(
            "Workers ready",
            "short",
            ((_sum("penstock_workers", of=_OF + ', state="ready"'), "ready"),),
            kind="stat",
            width=4,
        ),
    ),
    "Traffic": (
        Panel(
            "Delivered by source",
            "Bps",
            ((_rate("penstock_response_bytes_total", "source", _CLIENTS), "{{source}}"),),
            "fill: while it came from the origin; relay: passed on without being kept.",
            stacked=True,
        ),
        Panel(
            "Requests by cache",
            "reqps",
            ((_rate("penstock_http_requests_total", "cache", _CLIENTS), "{{cache}}"),),
            stacked=True,
        ),
        Panel("Answers by status", "reqps", ((_rate("penstock_http_requests_total", "code", _CLIENTS), "{{code}}"),)),
        Panel(
            "First byte, p99 by cache",
            "s",
            ((_quantile(0.99, "penstock_time_to_first_byte_seconds", "cache", _CLIENTS), "{{cache}}"),),
        ),
        Panel(
            "Speed of large answers",
            "Bps",
            tuple(
                (_quantile(share, "penstock_transfer_throughput_bytes_per_second"), f"p{share * 100:.0f}")
                for share in (0.1, 0.5, 0.9)
            ),
        ),
        Panel(
            "Connections",
            "short",
            (
                (_sum("penstock_connections"), "open"),
                (_rate("penstock_connections_refused_total", "reason"), "refused/s: {{reason}}"),
            ),
        ),
    ),
    "Cache": (
        Panel(
            "Byte hits by node",
            "percentunit",
            (("instance:penstock_byte_hit:ratio5m{" + _OF + "}", "{{instance}}"),),
            "Delivered from disk or memory, of all that was delivered.",
        ),
        Panel(
            "Not across the uplink",
            "Bps",
            (('job:penstock_saved_bytes:rate5m{job=~"$job"}', "{{job}}"),),
            "Delivered, less what came from the origin; below zero while more is fetched than delivered.",
        ),
        Panel(
            "Age at eviction, median",
            "s",
            ((_quantile(0.5, "penstock_eviction_age_seconds", "instance"), "{{instance}}"),),
            "Hours instead of weeks: the cache is too small.",
        ),
        Panel("Evicted", "Bps", ((_rate("penstock_evicted_bytes_total", "reason"), "{{reason}}"),)),
        Panel(
            "Readers who follow a download",
            "short",
            ((_sum("penstock_coalesced_waiters", "instance"), "{{instance}}"),),
        ),
        Panel(
            "Found wrong",
            "short",
            ((f"sum by (found_by) (increase(penstock_corruptions_total{{{_OF}}}[$__range]))", "{{found_by}}"),),
        ),
    ),
    "Origin": (
        Panel("Received", "Bps", ((_rate("penstock_upstream_bytes_total", "host"), "{{host}}"),)),
        Panel(
            "Questions by status",
            "reqps",
            ((_rate("penstock_upstream_requests_total", "host, code"), "{{host}} {{code}}"),),
        ),
        Panel(
            "Time to its answer, p99",
            "s",
            ((_quantile(0.99, "penstock_upstream_duration_seconds", "host"), "{{host}}"),),
        ),
        Panel("Downloads that ended", "ops", ((_rate("penstock_fills_total", "result"), "{{result}}"),)),
        Panel(
            "Rate limit left",
            "short",
            ((f"min by (host) (penstock_upstream_ratelimit_remaining{{{_OF}}})", "{{host}}"),),
        ),
        Panel(
            "Breaker open",
            "short",
            ((f"max by (instance, host) (penstock_upstream_breaker_open{{{_OF}}})", "{{instance}} {{host}}"),),
        ),
    ),
    "Storage": (
        Panel(
            "Stored",
            "bytes",
            (
                (_sum("penstock_cache_bytes", "instance, volume"), "{{instance}} {{volume}}"),
                (_sum("penstock_cache_capacity_bytes"), "capacity, all"),
            ),
        ),
        Panel("Free", "bytes", ((_sum("penstock_disk_free_bytes", "instance, volume"), "{{instance}} {{volume}}"),)),
        Panel(
            "Disks that fail",
            "short",
            (
                (f"count(penstock_disk_up{{{_OF}}} == 0) or vector(0)", "out"),
                (f"count(penstock_disk_writable{{{_OF}}} == 0) or vector(0)", "take nothing"),
            ),
        ),
        Panel(
            "Calls under way", "short", ((_sum("penstock_disk_calls", "instance, volume"), "{{instance}} {{volume}}"),)
        ),
        Panel("Cold reads", "short", ((_sum("penstock_cold_reads", "instance"), "{{instance}}"),)),
        Panel("Blobs", "short", ((_sum("penstock_cache_objects", "instance"), "{{instance}}"),)),
    ),
    "Fleet": (
        Panel(
            "Members as each node sees them",
            "short",
            ((_sum("penstock_cluster_members", "instance, state"), "{{instance}} {{state}}"),),
        ),
        Panel(
            "From the origin, by reason",
            "Bps",
            ((_rate("penstock_fleet_origin_bytes_total", "reason"), "{{reason}}"),),
            "owner: ours to fetch; all others cost twice.",
        ),
        Panel("From other nodes", "Bps", ((_rate("penstock_peer_bytes_total", "instance"), "{{instance}}"),)),
        Panel("Redis, p99", "s", ((_quantile(0.99, "penstock_redis_call_seconds"), "p99"),)),
        Panel("Redis by result", "ops", ((_rate("penstock_redis_calls_total", "result"), "{{result}}"),)),
        Panel("Leases", "ops", ((_rate("penstock_leases_total", "outcome"), "{{outcome}}"),)),
        Panel(
            "Clocks apart",
            "s",
            (
                (
                    f"max({_CLOCK}) - min({_CLOCK})",
                    "the two that differ most",
                ),
            ),
            "Beyond 30 s nodes refuse one another.",
        ),
    ),
    "Process": (
        Panel(
            "Event loop late, p99",
            "s",
            ((_quantile(0.99, "penstock_event_loop_lag_seconds", "instance"), "{{instance}}"),),
        ),
        Panel("Open files", "percentunit", ((f"penstock_open_files_ratio{{{_OF}}}", "{{instance}}"),)),
        Panel(
            "Certificate lasts",
            "s",
            ((f"(penstock_certificate_not_after_timestamp_seconds{{{_OF}}} > 0) - time()", "{{instance}}"),),
        ),
        Panel(
            "Since everything was last read",
            "s",
            ((f"time() - (penstock_scrub_last_success_timestamp_seconds{{{_OF}}} > 0)", "{{instance}}"),),
        ),
        Panel("Workers", "short", ((_sum("penstock_workers", "state"), "{{state}}"),)),
        Panel(
            "Workers that died",
            "short",
            ((f"sum by (instance) (increase(penstock_worker_restarts_total{{{_OF}}}[$__range]))", "{{instance}}"),),
        ),
    ),
}


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for row, members in ROWS.items():
        panels.append(_row(len(panels) + 1, row, top))
        top += 1
        left = 0
        for panel in members:
            height = 4 if panel.kind == "stat" else 8
            if left + panel.width > 24:
                left, top = 0, top + height
            panels.append(_panel(len(panels) + 1, panel, left, top, height))
            left += panel.width
        top += height
    return {
        "uid": "penstock",
        "title": "Penstock",
        "description": "Generated by deploy/grafana/dashboard.py; the runbook is docs/operations.md.",
        "tags": ["penstock"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [
                _source(),
                _variable("job", "label_values(penstock_build_info, job)"),
                _variable("instance", 'label_values(penstock_build_info{job=~"$job"}, instance)'),
            ]
        },
        "annotations": {"list": [_upgrades()]},
        "links": [
            {
                "type": "dashboards",
                "tags": ["penstock"],
                "title": "Penstock",
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "panels": panels,
    }


def queries() -> list[str]:
    """Every expression, of panels, variables and annotations."""
    found = dashboard()
    shown = [target["expr"] for panel in found["panels"] for target in panel.get("targets", ())]
    variables = [one["query"] for one in found["templating"]["list"] if one["type"] == "query"]
    return [*shown, *variables, *(one["expr"] for one in found["annotations"]["list"])]


def _row(number: int, title: str, top: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "row",
        "title": title,
        "collapsed": False,
        "panels": [],
        "gridPos": {"x": 0, "y": top, "w": 24, "h": 1},
    }


def _panel(number: int, panel: Panel, left: int, top: int, height: int) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + index), "datasource": _DATA, "expr": expression, "legendFormat": legend}
        for index, (expression, legend) in enumerate(panel.queries)
    ]
    custom = {"fillOpacity": 20, "stacking": {"mode": "normal"}} if panel.stacked else {"fillOpacity": 0}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.meaning or _meaning(panel),
        "datasource": _DATA,
        "gridPos": {"x": left, "y": top, "w": panel.width, "h": height},
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": {} if panel.kind == "stat" else custom},
            "overrides": [],
        },
        "targets": targets,
    }


def _meaning(panel: Panel) -> str:
    """What the metrics it asks for mean, one after another."""
    asked = " ".join(expression for expression, _ in panel.queries)
    rows = (*WORKER_METRICS, *NODE_METRICS)
    return "\n\n".join(row.meaning for row in rows if re.search(rf"\b{row.name}(_bucket)?\b", asked))


def _source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {}}


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": name,
        "type": "query",
        "datasource": _DATA,
        "query": query,
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "current": {"text": "All", "value": "$__all"},
    }


def _upgrades() -> dict[str, Any]:
    expression = f"changes(penstock_config_last_reload_success_timestamp_seconds{{{_OF}}}[1m]) > 0"
    return {
        "name": "Restarts and reloads",
        "enable": True,
        "iconColor": "blue",
        "datasource": _DATA,
        "expr": expression,
        "titleFormat": "{{instance}}",
    }


if __name__ == "__main__":
    print(json.dumps(dashboard(), indent=2))
