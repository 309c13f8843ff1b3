"""The door of `telemetry`: what the rooms report, in numbers and words, turned into metrics and access-log lines.

Every method is quick and does no I/O. Label values must come from closed sets: see `metrics.LABELS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from proxy.core.sizes import MIB

from .accesslog import AccessLog, AccessRecord
from .metrics import Metrics
from .tracing import Tracer, Untraced

_METHODS: Final = frozenset({"GET", "HEAD", "POST"})
_THROUGHPUT_FROM: Final = 8 * MIB


class _Children:
    """Label children, each looked up in the library once. At most as many as there are combinations of label values."""

    def __init__(self, metric: Any) -> None:
        self._metric = metric
        self._known: dict[tuple[str, ...], Any] = {}

    def __call__(self, *labels: str) -> Any:
        child = self._known.get(labels)
        if child is None:
            child = self._known[labels] = self._metric.labels(*labels)
        return child


class Telemetry:
    """Metrics, traces and access log of one process."""

    def __init__(self, metrics: Metrics, access: AccessLog, tracer: Tracer | None = None) -> None:
        self.metrics = metrics
        self.tracer = tracer or Untraced()
        self.access = access
        self._requests = _Children(metrics.counter("http_requests_total"))
        self._response_bytes = _Children(metrics.counter("response_bytes_total"))
        self._first_byte = _Children(metrics.histogram("time_to_first_byte_seconds"))
        self._duration = _Children(metrics.histogram("transfer_duration_seconds"))
        self._throughput = metrics.histogram("transfer_throughput_bytes_per_second")
        self._response_size = metrics.histogram("response_size_bytes")
        self._leaks = metrics.counter("leaks_total")
        self._in_flight = metrics.gauge("requests_in_flight")
        self._connections = metrics.gauge("connections")
        self._refused = _Children(metrics.counter("connections_refused_total"))
        self._fills = _Children(metrics.counter("fills_total"))
        self._fills_in_progress = metrics.gauge("fills_in_progress")
        self._import_bytes = metrics.counter("import_bytes_total")
        self._scrub_bytes = metrics.counter("scrub_bytes_total")
        self._scrub_end = metrics.gauge("scrub_last_success_timestamp_seconds")
        self._scrub_interval = metrics.gauge("scrub_interval_seconds")
        self._fill_bytes = metrics.counter("fill_bytes_total")
        self._waiters = metrics.gauge("coalesced_waiters")
        self._upstream = _Children(metrics.counter("upstream_requests_total"))
        self._upstream_bytes = _Children(metrics.counter("upstream_bytes_total"))
        self._upstream_seconds = _Children(metrics.histogram("upstream_duration_seconds"))
        self._remaining = _Children(metrics.gauge("upstream_ratelimit_remaining"))
        self._breaker = _Children(metrics.gauge("upstream_breaker_open"))
        self._evictions = _Children(metrics.counter("evictions_total"))
        self._evicted_bytes = _Children(metrics.counter("evicted_bytes_total"))
        self._eviction_age = metrics.histogram("eviction_age_seconds")
        self._corruptions = _Children(metrics.counter("corruptions_total"))
        self._disk_errors = _Children(metrics.counter("disk_errors_total"))
        self._disk_gauges: dict[str, Callable[..., Any]] = {
            name: _Children(metrics.gauge(name))
            for name in (
                "cache_bytes",
                "cache_reserved_bytes",
                "cache_capacity_bytes",
                "cache_objects",
                "cache_pinned_bytes",
                "disk_free_bytes",
                "disk_up",
                "disk_writable",
                "disk_calls",
            )
        }
        self._peer_reads = _Children(metrics.counter("peer_reads_total"))
        self._slices_wrong = _Children(metrics.counter("fleet_slices_wrong_total"))
        self._slices_proven = metrics.counter("fleet_slices_proven_total")
        self._peer_lies = _Children(metrics.counter("peer_lies_total"))
        self._peer_bytes = metrics.counter("peer_bytes_total")
        self._fleet_bytes = _Children(metrics.counter("fleet_origin_bytes_total"))
        self._redis_calls = _Children(metrics.counter("redis_calls_total"))
        self._redis_seconds = metrics.histogram("redis_call_seconds")
        self._redis_breaker = metrics.gauge("redis_breaker_open")
        self._leases = _Children(metrics.counter("leases_total"))
        self._lease_wait = metrics.histogram("lease_wait_seconds")
        self._leases_lost = metrics.counter("leases_lost_total")
        self._questions = _Children(metrics.counter("fleet_questions_total"))
        self._members = _Children(metrics.gauge("cluster_members"))
        self._view = metrics.gauge("cluster_view")
        self._changes = _Children(metrics.counter("cluster_changes_total"))
        self._clock_ahead = metrics.gauge("cluster_clock_ahead_seconds")
        self._lag = metrics.histogram("event_loop_lag_seconds")
        self._certificate_end = metrics.gauge("certificate_not_after_timestamp_seconds")
        self._open_files = metrics.gauge("open_files_ratio")
        self._cold_reads = metrics.gauge("cold_reads")

    # --- front ---------------------------------------------------------------------------------------------------

    def connection_opened(self) -> None:
        self._connections.inc()

    def connection_closed(self) -> None:
        self._connections.dec()

    def connection_refused(self, reason: str) -> None:
        self._refused(reason).inc()

    def request_started(self) -> None:
        self._in_flight.inc()

    def bytes_delivered(self, route: str, source: str, count: int) -> None:
        """`count` body bytes went to the kernel. Call it where the bytes move, also for answers that are cut later."""
        self._response_bytes(route, source).inc(count)

    def leaked(self) -> None:
        """An answer held an address, or a hint of Xet, that leads its client away from here."""
        self._leaks.inc()

    def request_ended(self, record: AccessRecord) -> None:
        """The answer of `record` ended, well or not; writes the access log too. One call for each `request_started`."""
        self._in_flight.dec()
        method = record.method if record.method in _METHODS else "OTHER"
        self._requests(record.route, method, str(record.status), record.cache).inc()
        if record.first_byte is not None:
            self._first_byte(record.route, record.cache).observe(record.first_byte)
        self._duration(record.route).observe(record.duration)
        self._response_size.observe(record.size)
        if record.size > _THROUGHPUT_FROM and record.duration > 0:
            self._throughput.observe(record.size / record.duration)
        self.access.write(record)

    def requests_repeated(self, like: AccessRecord, count: int, seconds: float) -> None:
        """`count` answers like that of `like` began and ended, in `seconds` together, each within one millisecond, its
        bytes from `like.source`. They are not written into the log."""
        method = like.method if like.method in _METHODS else "OTHER"
        each = seconds / count
        self._requests(like.route, method, str(like.status), like.cache).inc(count)
        if like.size:
            self._response_bytes(like.route, like.source).inc(like.size * count)
        self._first_byte(like.route, like.cache).observe_many(each, count)
        self._duration(like.route).observe_many(each, count)
        self._response_size.observe_many(like.size, count)

    # --- fetch ---------------------------------------------------------------------------------------------------

    def fill_started(self) -> None:
        self._fills_in_progress.inc()

    def fill_bytes(self, count: int) -> None:
        self._fill_bytes.inc(count)

    def fill_ended(self, result: str) -> None:
        """`result`: ok, checksum, upstream_error, put_off, aborted, disk. One call for each `fill_started`."""
        self._fills_in_progress.dec()
        self._fills(result).inc()

    def waiters(self, change: int) -> None:
        """`change` (+1, -1) readers follow a download that somebody else caused."""
        self._waiters.inc(change)

    # --- origin --------------------------------------------------------------------------------------------------

    def upstream_request(self, host: str, code: int | None, seconds: float) -> None:
        """A request to `host` (hub, cdn) was answered with `code`, None when there was no answer, after `seconds`."""
        self._upstream(host, "error" if code is None else str(code)).inc()
        self._upstream_seconds(host).observe(seconds)

    def upstream_bytes(self, host: str, count: int) -> None:
        self._upstream_bytes(host).inc(count)

    def upstream_remaining(self, host: str, requests: int) -> None:
        self._remaining(host).set(requests)

    def upstream_breaker(self, host: str, *, is_open: bool) -> None:
        self._breaker(host).set(int(is_open))

    # --- the fleet -----------------------------------------------------------------------------------------------

    def peer_read(self, result: str) -> None:
        """A read from a peer ended; `result`: ok, failed, elsewhere, refused, left."""
        self._peer_reads(result).inc()

    def slice_wrong(self, source: str) -> None:
        """A slice was wrong; `source`: peer, origin, several, unknown."""
        self._slices_wrong(source).inc()

    def slices_proven(self, count: int) -> None:
        """So many slices were found right by their manifest."""
        self._slices_proven.inc(count)

    def peer_lied(self, peer: str) -> None:
        """The node called `peer` gave a slice that was wrong."""
        self._peer_lies(peer).inc()

    def peer_bytes(self, count: int) -> None:
        self._peer_bytes.inc(count)

    def fleet_fetched(self, reason: str, count: int) -> None:
        """`count` bytes came from the origin; `reason`, why here: owner, peers_failed, lease_ignored, unsure."""
        self._fleet_bytes(reason).inc(count)

    def cluster_view(self, version: int, members: dict[str, int], changes: dict[str, int]) -> None:
        """A view is in force: nodes by state (up, aside, draining, ejected), and how many changed in which way."""
        self._view.set(version)
        for state, count in members.items():
            self._members(state).set(count)
        for change, count in changes.items():
            self._changes(change).inc(count)

    def clock_ahead(self, seconds: float) -> None:
        """Our clock is `seconds` ahead of that of Redis."""
        self._clock_ahead.set(seconds)

    def redis_call(self, result: str, seconds: float | None) -> None:
        """A call ended (ok, timeout, error, refused) after `seconds`, or was skipped (None)."""
        self._redis_calls(result).inc()
        if seconds is not None:
            self._redis_seconds.observe(seconds)

    def redis_breaker(self, *, is_open: bool) -> None:
        self._redis_breaker.set(int(is_open))

    def lease(self, outcome: str, seconds: float) -> None:
        """A lease was asked for; `outcome`: mine, busy, unknown."""
        self._leases(outcome).inc()
        self._lease_wait.observe(seconds)

    def lease_lost(self) -> None:
        self._leases_lost.inc()

    def fleet_question(self, outcome: str) -> None:
        """A question that nodes ask together; `outcome`: known, ours, refused, alone."""
        self._questions(outcome).inc()

    # --- store ---------------------------------------------------------------------------------------------------

    def disk(self, volume: str, **gauges: float) -> None:
        """The state of a disk: any of cache_bytes, cache_reserved_bytes, cache_capacity_bytes, cache_objects,
        cache_pinned_bytes, disk_free_bytes, disk_up, disk_writable, disk_calls."""
        for name, value in gauges.items():
            self._disk_gauges[name](volume).set(value)

    def disk_error(self, volume: str) -> None:
        self._disk_errors(volume).inc()

    def evicted(self, reason: str, size: int, age: float) -> None:
        """A blob of `size` stored bytes was removed (room, trim), `age` seconds after it came."""
        self._evictions(reason).inc()
        self._evicted_bytes(reason).inc(size)
        self._eviction_age.observe(max(0.0, age))

    def imported(self, count: int) -> None:
        """`count` bytes of files on this machine were read to be kept."""
        self._import_bytes.inc(count)

    def scrubbed(self, size: int) -> None:
        self._scrub_bytes.inc(size)

    def scrub_ended(self, at: float) -> None:
        """A whole pass of the scrubber ended at `at` (wall clock)."""
        self._scrub_end.set(at)

    def scrub_interval(self, seconds: float) -> None:
        """The scrubber is to come by every so many `seconds`; 0: never."""
        self._scrub_interval.set(seconds)

    def corrupted(self, found_by: str) -> None:
        self._corruptions(found_by).inc()

    def cold_reads(self, count: int) -> None:
        self._cold_reads.set(count)

    # --- the process ---------------------------------------------------------------------------------------------

    def loop_lag(self, seconds: float) -> None:
        self._lag.observe(max(0.0, seconds))

    def open_files(self, share: float) -> None:
        """`share` of the descriptors that this process may open are open."""
        self._open_files.set(share)

    def certificate_ends(self, at: float) -> None:
        """The certificate of the data port is valid until `at` (Unix time)."""
        self._certificate_end.set(at)
