"""The table of metrics, and what the door makes of what it is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from proxy.telemetry.accesslog import AccessLog, AccessRecord
from proxy.telemetry.exposition import FOLDER_VARIABLE, SharedMetrics, metrics_of_process, page_of
from proxy.telemetry.metric import Kind
from proxy.telemetry.metrics import FROM_ZERO, LABELS, NODE_METRICS, WORKER_METRICS, Metrics
from proxy.telemetry.table import table
from proxy.telemetry.telemetry import Telemetry

ROOT = Path(__file__).parents[2]
ALL = (*WORKER_METRICS, *NODE_METRICS)


def sample(page: bytes, name: str, **labels: str) -> float:
    for family in text_string_to_metric_families(page.decode()):
        for found in family.samples:
            if found.name == name and found.labels == labels:
                return found.value
    raise AssertionError(f"no {name}{labels} in the page")


def record(**values: object) -> AccessRecord:
    fields = {
        "at": 0.0,
        "request_id": "r",
        "client": "192.0.2.1",
        "method": "GET",
        "host": "mirror",
        "route": "resolve",
        "path": "/a",
        "status": 200,
        "size": 100,
        "cache": "hit",
        "source": "disk",
        "first_byte": 0.002,
        "duration": 0.5,
        "agent": "",
    }
    return AccessRecord(**{**fields, **values})  # type: ignore[arg-type]


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry(metrics_of_process(), AccessLog(None))


def test_the_document_is_what_the_table_says() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text() == table(), "stale: run make generated"


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_names_follow_the_rules(metric: object) -> None:
    assert isinstance(metric, type(ALL[0]))
    assert metric.name.startswith("penstock_")
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert (metric.kind is Kind.HISTOGRAM) == bool(metric.buckets)
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert set(metric.labels) <= set(LABELS)
    assert not set(metric.labels) & {"repo", "path", "user", "client"}


def test_every_row_can_be_made_and_is_named_once() -> None:
    Metrics(CollectorRegistry(), ALL)
    assert len({metric.name for metric in ALL}) == len(ALL)


@pytest.mark.parametrize("name", FROM_ZERO)
def test_the_first_event_is_seen_as_growth(telemetry: Telemetry, name: str) -> None:
    """By `increase()`, to which a series that begins with 1 has not grown."""
    (row,) = (row for row in ALL if row.name == f"penstock_{name}")
    (label,) = row.labels
    for value in FROM_ZERO[name]:
        assert value in LABELS[label] + row.meaning
        assert sample(page_of(telemetry.metrics), row.name, **{label: value}) == 0


def test_a_request_is_counted_with_its_labels(telemetry: Telemetry) -> None:
    telemetry.request_started()
    telemetry.request_ended(record(status=206))
    page = page_of(telemetry.metrics)
    labels = {"route": "resolve", "method": "GET", "code": "206", "cache": "hit"}
    assert sample(page, "penstock_http_requests_total", **labels) == 1
    assert sample(page, "penstock_requests_in_flight") == 0
    assert sample(page, "penstock_time_to_first_byte_seconds_bucket", route="resolve", cache="hit", le="0.0025") == 1


def test_an_odd_method_does_not_make_a_series_of_its_own(telemetry: Telemetry) -> None:
    for method in ("BREW", "WHEN"):
        telemetry.request_ended(record(method=method))
    labels = {"route": "resolve", "method": "OTHER", "code": "200", "cache": "hit"}
    assert sample(page_of(telemetry.metrics), "penstock_http_requests_total", **labels) == 2


def test_throughput_is_of_large_answers_alone(telemetry: Telemetry) -> None:
    telemetry.request_ended(record(size=100))
    telemetry.request_ended(record(size=100_000_000, duration=1.0))
    page = page_of(telemetry.metrics)
    assert sample(page, "penstock_transfer_throughput_bytes_per_second_count") == 1
    assert sample(page, "penstock_transfer_throughput_bytes_per_second_sum") == 100_000_000


def test_fills_under_way_and_ended_add_up(telemetry: Telemetry) -> None:
    for result in ("ok", "ok", "aborted"):
        telemetry.fill_started()
        telemetry.fill_ended(result)
    telemetry.fill_started()
    page = page_of(telemetry.metrics)
    assert sample(page, "penstock_fills_total", result="ok") == 2
    assert sample(page, "penstock_fills_total", result="aborted") == 1
    assert sample(page, "penstock_fills_in_progress") == 1


def test_an_eviction_tells_its_reason_and_age(telemetry: Telemetry) -> None:
    telemetry.evicted("room", 10, 120.0)
    telemetry.evicted("trim", 5, 120.0)
    page = page_of(telemetry.metrics)
    assert sample(page, "penstock_eviction_age_seconds_count") == 2
    assert sample(page, "penstock_evicted_bytes_total", reason="trim") == 5


WORKER = """
import sys
from proxy.telemetry.accesslog import AccessLog
from proxy.telemetry.exposition import metrics_of_worker
from proxy.telemetry.telemetry import Telemetry
telemetry = Telemetry(metrics_of_worker(int(sys.argv[1])), AccessLog(None))
telemetry.bytes_delivered("resolve", "disk", int(sys.argv[2]))
telemetry.connection_opened()
telemetry.disk("/a", cache_bytes=float(sys.argv[2]))
telemetry.upstream_breaker("hub", is_open=sys.argv[2] == "100")
telemetry.redis_breaker(is_open=sys.argv[2] == "100")
"""


def work(folder: Path, index: int, count: int) -> None:
    """A worker's life, ended without a word."""
    subprocess.run(
        [sys.executable, "-c", WORKER + "import os; os.kill(os.getpid(), 9)\n", str(index), str(count)],
        env={**os.environ, FOLDER_VARIABLE: str(folder), "PYTHONPATH": str(ROOT)},
        check=False,
    )


def test_counters_of_workers_add_up_and_survive_a_killed_one(tmp_path: Path) -> None:
    shared = SharedMetrics(tmp_path)
    work(tmp_path, 0, 100)
    work(tmp_path, 1, 20)
    shared.worker_died(0)
    work(tmp_path, 0, 3)
    assert sample(shared.page(), "penstock_response_bytes_total", route="resolve", source="disk") == 123


def test_gauges_of_a_dead_worker_are_nobodys(tmp_path: Path) -> None:
    shared = SharedMetrics(tmp_path)
    work(tmp_path, 0, 1)
    work(tmp_path, 1, 1)
    assert sample(shared.page(), "penstock_connections") == 2
    shared.worker_died(0)
    assert sample(shared.page(), "penstock_connections") == 1


def test_a_disks_gauge_is_not_multiplied_by_the_workers(tmp_path: Path) -> None:
    work(tmp_path, 0, 100)
    work(tmp_path, 1, 200)
    assert sample(SharedMetrics(tmp_path).page(), "penstock_cache_bytes", volume="/a") == 200


@pytest.mark.parametrize("breaker", ["penstock_upstream_breaker_open", "penstock_redis_breaker_open"])
def test_who_learnt_last_says_whether_somebody_is_away(tmp_path: Path, breaker: str) -> None:
    """A worker that nobody asks, or that has died since, would say for ever what was true once."""
    shared = SharedMetrics(tmp_path)
    labels = {"host": "hub"} if "upstream" in breaker else {}
    work(tmp_path, 0, 100)
    assert sample(shared.page(), breaker, **labels) == 1
    work(tmp_path, 1, 1)
    assert sample(shared.page(), breaker, **labels) == 0


@pytest.mark.parametrize("seconds", [0.00001, 0.001])
@pytest.mark.parametrize("size", [0, 700, 32_768])
def test_many_like_answers_count_as_so_many_single_ones(size: int, seconds: float) -> None:
    one_by_one, together = (Telemetry(metrics_of_process(), AccessLog(None)) for _ in range(2))
    like = record(size=size, first_byte=seconds, duration=seconds, source="memory")
    for _ in range(8):
        one_by_one.request_started()
        if size:
            one_by_one.bytes_delivered("resolve", "memory", size)
        one_by_one.request_ended(like)
    together.requests_repeated(like, 8, 8 * seconds)
    expected, found = (
        [line for line in page_of(each.metrics).decode().splitlines() if line.startswith("penstock_")]
        for each in (one_by_one, together)
    )
    assert found == expected
