"""Which series there are to be asked for."""

from __future__ import annotations

import re
from functools import cache

import yaml

from proxy.telemetry.metric import Kind
from proxy.telemetry.metrics import NODE_METRICS, WORKER_METRICS
from tests.kit.judges import DEPLOY


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


@cache
def recorded() -> dict[str, str]:
    """The sums that are recorded, by name: what they are made of."""
    groups = yaml.safe_load((DEPLOY / "prometheus/recording.yml").read_text())["groups"]
    return {rule["record"]: rule["expr"] for group in groups for rule in group["rules"]}


def asked_for(expression: str) -> set[str]:
    """What a query goes by in the end: the metrics it names, and those of the sums it names."""
    found = names_in(expression)
    return found.union(*(asked_for(recorded()[name]) for name in found & recorded().keys()))
