"""The metrics as a document: `python -m proxy.telemetry.table > docs/metrics.md`."""

from __future__ import annotations

import sys

from .metric import Metric
from .metrics import LABELS, NODE_METRICS, WORKER_METRICS


def table() -> str:
    """The Markdown text."""
    lines = [
        "# Metrics",
        "",
        "Generated from `proxy/telemetry/metrics.py`; a test fails when it is stale. Served at `/metrics` of the admin",
        "port, for all workers of the node together.",
        "",
        "| metric | type | labels | meaning |",
        "|---|---|---|---|",
        *(_row(metric) for metric in (*WORKER_METRICS, *NODE_METRICS)),
        "",
        "## Labels",
        "",
        "No label ever holds a repo, a path, a user or an address.",
        "",
        "| label | values |",
        "|---|---|",
        *(f"| `{label}` | {values} |" for label, values in LABELS.items()),
        "",
    ]
    return "\n".join(lines)


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    buckets = f" Buckets: {', '.join(f'{bucket:g}' for bucket in metric.buckets)}." if metric.buckets else ""
    return f"| `{metric.name}` | {metric.kind.value} | {labels} | {metric.meaning}{buckets} |"


if __name__ == "__main__":
    sys.stdout.write(table())
