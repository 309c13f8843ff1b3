"""What the rooms report reaches the numbers, under the labels that are documented."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.cluster.members import Member, MemberState, View, difference
from proxy.cluster.observer import LeaseOutcome, RedisResult
from proxy.fetch.coordinator import CacheOutcome
from proxy.fetch.reading import ByteSource
from proxy.front.observer import ROUTES
from proxy.service.observers import FleetObserver, OriginObserver, StoreObserver
from proxy.store.disk import DiskState
from proxy.telemetry.accesslog import AccessLog
from proxy.telemetry.exposition import metrics_of_process, page_of
from proxy.telemetry.metrics import LABELS, NODE_METRICS, WORKER_METRICS
from proxy.telemetry.telemetry import Telemetry

PROXY = Path(__file__).parents[2] / "proxy"


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry(metrics_of_process(), AccessLog(None))


def test_an_eviction_keeps_its_reason_and_its_age(telemetry: Telemetry) -> None:
    observer = StoreObserver(telemetry)
    observer.evicted("disk0", 10, 120.0, "room")
    observer.evicted("disk0", 5, 7200.0, "trim")
    page = page_of(telemetry.metrics).decode()
    assert 'penstock_evicted_bytes_total{reason="room"} 10.0' in page
    assert 'penstock_evicted_bytes_total{reason="trim"} 5.0' in page
    assert "penstock_eviction_age_seconds_sum 7320.0" in page


def test_a_disk_that_comes_back_is_no_error(telemetry: Telemetry) -> None:
    observer = StoreObserver(telemetry)
    for state in (DiskState.READ_ONLY, DiskState.OUT, DiskState.OK):
        observer.disk_state("disk0", state, "")
    assert 'penstock_disk_errors_total{volume="disk0"} 2.0' in page_of(telemetry.metrics).decode()


def test_calls_to_redis_and_leases_are_counted_by_what_became_of_them(telemetry: Telemetry) -> None:
    observer = FleetObserver(telemetry)
    for result in RedisResult:
        observer.redis_call(result, 0.001)
    for outcome in LeaseOutcome:
        observer.lease(outcome, 0.002)
    observer.lease_lost()
    page = page_of(telemetry.metrics).decode()
    for line in (
        *(f'redis_calls_total{{result="{result.value}"}} 1.0' for result in RedisResult),
        "redis_call_seconds_count 4.0",
        *(f'leases_total{{outcome="{outcome.value}"}} 1.0' for outcome in LeaseOutcome),
        "lease_wait_seconds_count 3.0",
        "leases_lost_total 1.0",
    ):
        assert f"penstock_{line}" in page


def test_the_breaker_of_the_origin_is_open_until_it_answers_right(telemetry: Telemetry) -> None:
    """A trial under way is no origin that is back."""
    observer = OriginObserver(telemetry)
    for state, shown in (("open", 1.0), ("half-open", 1.0), ("closed", 0.0)):
        observer.breaker(state)
        assert f'penstock_upstream_breaker_open{{host="hub"}} {shown}' in page_of(telemetry.metrics).decode()


def test_the_breaker_of_redis_is_open_until_a_call_is_answered(telemetry: Telemetry) -> None:
    observer = FleetObserver(telemetry)
    for state, shown in (("open", 1.0), ("half-open", 1.0), ("closed", 0.0)):
        observer.redis_breaker(state)
        assert f"penstock_redis_breaker_open {shown}" in page_of(telemetry.metrics).decode()


def test_a_view_of_the_fleet_is_counted_by_state_and_by_what_changed(telemetry: Telemetry) -> None:
    a, b, c = (Member(name, f"http://{name}", 1) for name in "abc")
    old = View(1, (a, b), "a")
    new = View(2, (a, replace(b, state=MemberState.DRAINING), c), "a", frozenset("c"))
    FleetObserver(telemetry).view_changed(new, difference(old, new))
    page = page_of(telemetry.metrics).decode()
    for line in (
        'cluster_members{state="up"} 1.0',
        'cluster_members{state="draining"} 1.0',
        'cluster_members{state="ejected"} 1.0',
        "cluster_view 2.0",
        'cluster_changes_total{change="joined"} 1.0',
        'cluster_changes_total{change="draining"} 1.0',
        'cluster_changes_total{change="ejected"} 1.0',
        'cluster_changes_total{change="left"} 0.0',
    ):
        assert f"penstock_{line}" in page


def test_everything_telemetry_takes_is_reported_by_somebody() -> None:
    callers = "".join(path.read_text() for path in PROXY.rglob("*.py") if path.parent.name != "telemetry")
    verbs = [name for name, _ in inspect.getmembers(Telemetry, inspect.isfunction) if not name.startswith("_")]
    rooms = callers + (PROXY / "telemetry" / "looplag.py").read_text()
    assert [verb for verb in verbs if not re.search(rf"\.{verb}\b", rooms)] == []


def test_every_metric_is_set_by_somebody() -> None:
    code = "".join(path.read_text() for path in PROXY.rglob("*.py") if path.name != "metrics.py")
    rows = [row.name.removeprefix("penstock_") for row in (*WORKER_METRICS, *NODE_METRICS)]
    assert [name for name in rows if f'"{name}"' not in code] == []


def test_the_documented_labels_are_those_of_the_code() -> None:
    assert _words("cache") == {outcome.value for outcome in CacheOutcome}
    assert _words("source") == {source.value for source in ByteSource}
    assert _words("route") == set(ROUTES)


def _words(label: str) -> set[str]:
    return set(re.sub(r"\(.*?\)", "", LABELS[label]).replace(" ", "").split(","))
