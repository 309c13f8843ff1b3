"""All metrics, once: name, type, labels, buckets, meaning. `docs/metrics.md` is rendered from this table.

Names follow the Prometheus rules (one prefix, base units, `_total`), labels are bounded: never a repo, a path, a user
or an address. Every counter says what sum it belongs to.

With several workers the values live in files that a worker shares with its supervisor (prometheus_client's
multi-process mode), named after the worker's number, so that a restarted worker counts on where its forerunner died.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from .metric import (
    AGE_BUCKETS,
    DURATION_BUCKETS,
    FIRST_BYTE_BUCKETS,
    LAG_BUCKETS,
    REDIS_BUCKETS,
    SIZE_BUCKETS,
    THROUGHPUT_BUCKETS,
    Kind,
    Metric,
)

LABELS: Final = {
    "route": "resolve, raw, api, git, lfs, oci, xet, peer (other nodes of the fleet), manifest (their questions about "
    "digests), web (generic origins), other (health checks, and what "
    "never reached a route)",
    "method": "GET, HEAD, POST, OTHER",
    "code": "the exact HTTP status",
    "cache": "hit, stale, revalidated, miss, coalesced, bypass, negative, none",
    "source": "disk, fill, memory, peer, relay",
    "state": "see the metric",
    "result": "see the metric",
    "host": "hub (the origin itself), cdn (where it sends us for bytes), xet (what hf_xet fetched: bytes only), web (a "
    "generic origin), all",
    "volume": "the disk's short name: disk0, disk1, … in the order of the configuration (folders: /-/status)",
    "reason": "see the metric",
    "peer": "the name of a node of the fleet",
    "change": "see the metric",
    "outcome": "see the metric",
    "found_by": "read (CRC of a chunk, digest of a small blob), scrub (likewise), seal (digest of a blob), slice "
    "(digest of a slice), verify (digest of a file, by order)",
    "log": "access",
    "version": "of Penstock",
}
"""What the labels may hold."""

C, G, H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

WORKER_METRICS: Final = (
    Metric(
        "penstock_http_requests_total",
        C,
        "Requests answered, counted when the answer ended; over all labels: every request of the data port.",
        ("route", "method", "code", "cache"),
    ),
    Metric(
        "penstock_response_bytes_total",
        C,
        "Body bytes handed to the kernel for clients; over `source` they add up to all that was delivered: disk (here "
        "before the request), fill (it waited for them), peer (likewise, and all that came of the slice in this worker "
        "came from other nodes), memory, relay (passed on and not kept).",
        ("route", "source"),
    ),
    Metric(
        "penstock_time_to_first_byte_seconds",
        H,
        "From the complete request head to the first byte of the answer.",
        ("route", "cache"),
        FIRST_BYTE_BUCKETS,
    ),
    Metric("penstock_transfer_duration_seconds", H, "From the request head to the end.", ("route",), DURATION_BUCKETS),
    Metric(
        "penstock_transfer_throughput_bytes_per_second",
        H,
        "Bytes per second of answers of more than 8 MiB.",
        (),
        THROUGHPUT_BUCKETS,
    ),
    Metric("penstock_response_size_bytes", H, "Body bytes of an answer.", (), SIZE_BUCKETS),
    Metric(
        "penstock_leaks_total",
        C,
        "Answers that held an absolute address of another host, or a hint of Xet that leads there; always 0 "
        "(`penstock doctor` says what it is when it is not).",
    ),
    Metric("penstock_requests_in_flight", G, "Requests being answered."),
    Metric("penstock_connections", G, "Open client connections."),
    Metric(
        "penstock_connections_refused_total",
        C,
        "Connections closed by us; `reason`: limit, client_limit, header_timeout, header_size, request_line.",
        ("reason",),
    ),
    Metric(
        "penstock_fills_total",
        C,
        "Downloads (from the origin or a peer) that ended; `result`: ok, checksum, upstream_error, put_off (the "
        "origin, its budget or the breaker asked to wait), aborted, disk.",
        ("result",),
    ),
    Metric("penstock_fills_in_progress", G, "Downloads under way."),
    Metric(
        "penstock_fill_bytes_total",
        C,
        "Bytes received (from the origin, peers or files on this machine) for the store; with nothing cut or "
        "refetched, the size of what was missing.",
    ),
    Metric("penstock_coalesced_waiters", G, "Readers that follow a download somebody else caused."),
    Metric(
        "penstock_peer_reads_total",
        C,
        "Reads from other nodes that ended; `result`: ok, failed (broken or hanging), elsewhere (it has not got the "
        "bytes now), refused (by the origin, through it), left (nobody wants it any more). What other nodes read here "
        "is under the route `peer` of penstock_http_requests_total.",
        ("result",),
    ),
    Metric(
        "penstock_fleet_slices_proven_total",
        C,
        "Slices that were found right by the manifest of their blob, of which this node need not have the whole.",
        (),
    ),
    Metric(
        "penstock_fleet_slices_wrong_total",
        C,
        "Slices that were found wrong, dropped and fetched anew; `reason`: who had given it: peer (see "
        "penstock_peer_lies_total), origin, several (it cannot be told which of them), unknown (before a restart).",
        ("reason",),
    ),
    Metric(
        "penstock_peer_lies_total",
        C,
        "Slices that turned out wrong and that one node alone had given: always 0. Look at its disks and its memory; "
        "it is not asked for ten minutes.",
        ("peer",),
    ),
    Metric(
        "penstock_peer_bytes_total",
        C,
        "Bytes received from other nodes; with those from the origin they add up to what was filled and relayed. What "
        "other nodes received from here is under the route `peer` of penstock_response_bytes_total.",
    ),
    Metric(
        "penstock_fleet_origin_bytes_total",
        C,
        "File bytes a node of a fleet received from the origin; `reason`: owner (ours to fetch), peers_failed (those "
        "before us did not give them), lease_ignored (another is fetching them, and gave us none: a duplicate), unsure "
        "(Redis did not say whether another is), hedge (a peer was slow: a duplicate, of 5 % of all bytes at most), "
        "distrust (peers had given what may have been wrong: a duplicate), proof (a whole was wrong, and the origin "
        "had to say which slice was: read once more, at most once an hour for a blob, and not kept).",
        ("reason",),
    ),
    Metric(
        "penstock_cluster_members",
        G,
        "Nodes of the fleet as this one sees them, itself among them; `state`: up, aside (most of the "
        "others cannot reach it, and it owns nothing until they can), draining, ejected (failed it lately and is not "
        "asked). The four add up to all; with several workers, what one of them last saw.",
        ("state",),
        mode="mostrecent",
    ),
    Metric(
        "penstock_cluster_view",
        G,
        "The number of the view of the fleet in force; it grows with each change, and restarts with the worker.",
        mode="max",
    ),
    Metric(
        "penstock_cluster_clock_ahead_seconds",
        G,
        "Our clock less that of Redis, to a quarter of a second: what two nodes differ in is how far their clocks are "
        "apart. Beyond 30 s they refuse one another. 0 without Redis.",
        mode="mostrecent",
    ),
    Metric(
        "penstock_cluster_changes_total",
        C,
        "Members that changed, as each worker saw; `change`: joined, left, draining, aside, back, restarted, "
        "ejected, readmitted.",
        ("change",),
    ),
    Metric(
        "penstock_redis_calls_total",
        C,
        "Calls to Redis; `result`: ok, timeout (no answer within 250 ms), error (no connection, or a server out of "
        "order), refused (a no to this call alone), skipped (not asked: the breaker is open). One that fails costs no "
        "client its answer.",
        ("result",),
    ),
    Metric(
        "penstock_redis_call_seconds",
        H,
        "How long a call to Redis took, answered or not; without those skipped.",
        (),
        REDIS_BUCKETS,
    ),
    Metric(
        "penstock_redis_breaker_open",
        G,
        "1 while Redis is given a rest after failures and a node goes on without it.",
        mode="mostrecent",
    ),
    Metric(
        "penstock_leases_total",
        C,
        "Leases asked for; `outcome`: mine, busy (another reads the slice and is followed), unknown (Redis was silent: "
        "we go on without).",
        ("outcome",),
    ),
    Metric(
        "penstock_lease_wait_seconds", H, "From asking for a lease to the outcome: at most 250 ms.", (), REDIS_BUCKETS
    ),
    Metric(
        "penstock_leases_lost_total",
        C,
        "Leases that became another's while we held them, or ran out because Redis was silent; each may cost a second "
        "download of what was under way.",
    ),
    Metric(
        "penstock_fleet_questions_total",
        C,
        "Questions about public repos that the nodes of a fleet ask the origin together; `outcome`: known (another "
        "node told the answer), ours (asked for all), refused (another was refused a moment ago), alone (Redis was "
        "silent, or who asks takes long: asked for ourselves).",
        ("outcome",),
    ),
    Metric(
        "penstock_upstream_requests_total",
        C,
        "Requests sent to the origin; `code` is its status, or `error` when there was no answer.",
        ("host", "code"),
    ),
    Metric(
        "penstock_upstream_bytes_total",
        C,
        "Body bytes received from the origin: what was filled, relayed, listed, or thrown away.",
        ("host",),
    ),
    Metric(
        "penstock_upstream_duration_seconds",
        H,
        "From sending a request to the origin to the head of its answer.",
        ("host",),
        FIRST_BYTE_BUCKETS,
    ),
    Metric(
        "penstock_upstream_ratelimit_remaining",
        G,
        "Requests the origin still allows in this window, as it last said.",
        ("host",),
        mode="mostrecent",
    ),
    Metric(
        "penstock_upstream_breaker_open",
        G,
        "1 from a row of failures of the origin to its next right answer; of the worker that learnt last.",
        ("host",),
        mode="mostrecent",
    ),
    Metric("penstock_cache_bytes", G, "Bytes of blobs on the disk.", ("volume",), mode="mostrecent"),
    Metric("penstock_cache_reserved_bytes", G, "Bytes promised to downloads under way.", ("volume",)),
    Metric("penstock_cache_capacity_bytes", G, "Most bytes the disk may hold for us.", ("volume",), mode="mostrecent"),
    Metric("penstock_cache_objects", G, "Blobs with bytes on the disk.", ("volume",), mode="mostrecent"),
    Metric("penstock_cache_pinned_bytes", G, "Bytes exempt from eviction.", ("volume",), mode="mostrecent"),
    Metric("penstock_disk_free_bytes", G, "Free bytes of the file system.", ("volume",), mode="mostrecent"),
    Metric(
        "penstock_disk_up", G, "1 while the disk is read from, 0 once it has failed.", ("volume",), mode="mostrecent"
    ),
    Metric(
        "penstock_disk_writable",
        G,
        "1 while the disk takes bytes; 0 when it is out, has refused some (full, read-only), or has no room and "
        "nothing that could be evicted (below store.free_floor, all pinned).",
        ("volume",),
        mode="mostrecent",
    ),
    Metric("penstock_disk_calls", G, "Operations handed to the disk's threads and not done.", ("volume",)),
    Metric("penstock_cold_reads", G, "Reads of what the page cache does not hold, handed to a thread and not done."),
    Metric(
        "penstock_disk_errors_total",
        C,
        "Times (per worker) the disk was put out, or taken no new bytes to.",
        ("volume",),
    ),
    Metric(
        "penstock_evictions_total",
        C,
        "Blobs removed; `reason`: room (a download needed it), trim (down to the soft limit), prune (by hand).",
        ("reason",),
    ),
    Metric("penstock_evicted_bytes_total", C, "Bytes removed, by the same reasons.", ("reason",)),
    Metric(
        "penstock_eviction_age_seconds",
        H,
        "From a blob's coming to its eviction: hours instead of weeks are the sign of a cache that is too small.",
        (),
        AGE_BUCKETS,
    ),
    Metric("penstock_corruptions_total", C, "Chunks or blobs found wrong, dropped and fetched anew.", ("found_by",)),
    Metric("penstock_import_bytes_total", C, "Bytes read from bundles and foreign caches to be kept."),
    Metric("penstock_scrub_bytes_total", C, "Bytes read by the scrubber to see whether they are still right."),
    Metric(
        "penstock_scrub_last_success_timestamp_seconds",
        G,
        "When the scrubber last came to the end of all disks (Unix time); before the first time: its first start.",
        mode="max",
    ),
    Metric(
        "penstock_scrub_interval_seconds",
        G,
        "How often the scrubber is to read everything (`store.scrub_every`); 0: never of its own accord.",
        mode="mostrecent",
    ),
    Metric(
        "penstock_certificate_not_after_timestamp_seconds",
        G,
        "Until when the certificate of the data port, or another of its chain, is valid (Unix time), of the worker "
        "with the oldest; 0 without TLS.",
        mode="livemin",
    ),
    Metric(
        "penstock_open_files_ratio",
        G,
        "Open file descriptors, as a share of what the process may open; of the worker that is nearest to its limit.",
        mode="livemax",
    ),
    Metric("penstock_event_loop_lag_seconds", H, "How late a timer of the event loop fires.", (), LAG_BUCKETS),
    Metric("penstock_log_lines_lost_total", C, "Lines dropped because the log could not follow.", ("log",)),
)
"""What a worker counts; over all workers of a node they add up."""

NODE_METRICS: Final = (
    Metric(
        "penstock_workers",
        G,
        "Worker processes; `state`: ready, starting, leaving (of the program before, they finish their downloads).",
        ("state",),
    ),
    Metric("penstock_worker_restarts_total", C, "Workers that died and were started again."),
    Metric(
        "penstock_config_last_reload_success_timestamp_seconds",
        G,
        "When the configuration in force was read (Unix time).",
        mode="max",
    ),
    Metric(
        "penstock_config_last_reload_successful",
        G,
        "0 from a reload that was refused, because of a mistake in the configuration, to the next that is not.",
        mode="max",
    ),
    Metric("penstock_build_info", G, "Always 1; the version is in the label.", ("version",), mode="max"),
)
"""What is counted once a node."""


FROM_ZERO: Final = {
    "fills_total": ("ok", "checksum", "upstream_error", "put_off", "aborted", "disk"),
    "corruptions_total": ("read", "scrub", "seal", "slice", "verify"),
    "fleet_slices_wrong_total": ("peer", "origin", "several", "unknown"),
    "connections_refused_total": ("limit", "client_limit", "header_timeout", "header_size", "request_line"),
}
"""Counters with one label, and its values, that are there before anything is counted. To `increase()` a series that
begins with 1 has not grown: the first event, often the only one, would be seen by no alert."""


class Tallied(Histogram):
    """A histogram that takes many like observations at once, which costs as much as one."""

    def observe_many(self, amount: float, count: int) -> None:
        """`count` observations of `amount`: what `Histogram.observe` does, so many times over. The library has no word
        for it, so this reaches into it; a test compares the two."""
        self._sum.inc(amount * count)
        self._buckets[bisect_left(self._upper_bounds, amount)].inc(count)


class Metrics:
    """The metrics of one process, on a registry of its own. Look them up by name; a wrong name is a KeyError."""

    def __init__(self, registry: CollectorRegistry, rows: tuple[Metric, ...]) -> None:
        self.registry = registry
        self._counters = {row.name: _counter(row, registry) for row in rows if row.kind is Kind.COUNTER}
        self._gauges = {row.name: _gauge(row, registry) for row in rows if row.kind is Kind.GAUGE}
        self._histograms = {row.name: _histogram(row, registry) for row in rows if row.kind is Kind.HISTOGRAM}
        for name, values in FROM_ZERO.items():
            if (counter := self._counters.get(f"penstock_{name}")) is not None:
                for value in values:
                    counter.labels(value)

    def counter(self, name: str) -> Counter:
        return self._counters[f"penstock_{name}"]

    def gauge(self, name: str) -> Gauge:
        return self._gauges[f"penstock_{name}"]

    def histogram(self, name: str) -> Tallied:
        return self._histograms[f"penstock_{name}"]


def _counter(row: Metric, registry: CollectorRegistry) -> Counter:
    return Counter(row.name, row.meaning, row.labels, registry=registry)


def _gauge(row: Metric, registry: CollectorRegistry) -> Gauge:
    return Gauge(row.name, row.meaning, row.labels, registry=registry, multiprocess_mode=row.mode)


def _histogram(row: Metric, registry: CollectorRegistry) -> Tallied:
    return Tallied(row.name, row.meaning, row.labels, registry=registry, buckets=row.buckets)
