"""Which series there are to be asked for."""

from __future__ import annotations

import re

from proxy.telemetry.metric import Kind
from proxy.telemetry.metrics import NODE_METRICS, WORKER_METRICS


def known_metrics() -> frozenset[str]:
    """Every series the product serves, by name."""
    found = set()
    for row in (*WORKER_METRICS, *NODE_METRICS):
        found.add(row.name)
        if row.kind is Kind.HISTOGRAM:
            found |= {f"{row.name}_{part}" for part in ("bucket", "sum", "count")}
    return frozenset(found)


def names_in(expression: str) -> set[str]:
    """The metrics (and recorded sums) that a query names, and `up`."""
    return set(re.findall(r"\b(?:(?:instance|job):penstock_[\w:]+|penstock_\w+|up(?=\{))", expression))
