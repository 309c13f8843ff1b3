"""What the rooms report, told to telemetry: each room has a small Protocol of its own, this is where they meet."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import fields
from typing import Final

from proxy.cluster.members import Difference, View
from proxy.cluster.observer import LeaseOutcome, QuestionOutcome, RedisResult
from proxy.core.clock import Clock
from proxy.fetch.coordinator import CacheOutcome
from proxy.fetch.reading import ByteSource
from proxy.front.observer import Exchange
from proxy.store.disk import DiskState
from proxy.telemetry.accesslog import AccessRecord
from proxy.telemetry.telemetry import Telemetry

log: Final = logging.getLogger(__name__)


class FrontObserver:
    """`proxy.front.observer.Observer`."""

    def __init__(self, telemetry: Telemetry, clock: Clock) -> None:
        self._telemetry = telemetry
        self._clock = clock

    def connection_opened(self) -> None:
        self._telemetry.connection_opened()

    def connection_closed(self) -> None:
        self._telemetry.connection_closed()

    def connection_refused(self, reason: str) -> None:
        self._telemetry.connection_refused(reason)

    def request_began(self) -> None:
        self._telemetry.request_started()

    def bytes_sent(self, route: str, source: ByteSource, count: int) -> None:
        self._telemetry.bytes_delivered(route, source.value, count)

    def leaked(self) -> None:
        self._telemetry.leaked()

    def request_ended(self, exchange: Exchange) -> None:
        self._telemetry.request_ended(self._record(exchange))

    @property
    def logs(self) -> bool:
        return self._telemetry.access.is_on

    def repeated(self, like: Exchange, count: int, seconds: float) -> None:
        self._telemetry.requests_repeated(self._record(like), count, seconds)

    def logged(self, exchange: Exchange) -> None:
        self._telemetry.access.write(self._record(exchange))

    def _record(self, exchange: Exchange) -> AccessRecord:
        sources = [source.value for source, count in exchange.sent if count]
        failure = exchange.failure or ("aborted" if exchange.aborted else None)
        return AccessRecord(
            at=self._clock.wall() - exchange.seconds,
            request_id=exchange.request_id,
            client=exchange.client,
            method=exchange.method,
            host=exchange.host,
            route=exchange.route,
            path=exchange.path or exchange.target,
            repo=exchange.repo,
            revision=exchange.revision,
            status=exchange.code,
            size=exchange.body_bytes,
            cache=exchange.cache.value,
            source="+".join(sources) or CacheOutcome.NONE.value,
            first_byte=exchange.first_byte_seconds,
            duration=exchange.seconds,
            agent=exchange.user_agent or "",
            range=exchange.range,
            error=failure,
            peer=exchange.peer,
        )


class StoreObserver:
    """`proxy.store.observer.StoreObserver`."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def written(self, disk: str, size: int) -> None:
        """Counted by the fill that wrote it."""

    def sealed(self, size: int) -> None:
        """Seen in the blobs; no sum of its own."""

    def evicted(self, disk: str, size: int, age: float, reason: str) -> None:
        self._telemetry.evicted(reason, size, age)

    def scrubbed(self, size: int) -> None:
        self._telemetry.scrubbed(size)

    def corrupted(self, disk: str, found_by: str) -> None:
        self._telemetry.corrupted(found_by)
        log.error("corruption found", extra={"disk": disk, "found_by": found_by})

    def dropped(self, reason: str) -> None:
        log.warning("blob dropped", extra={"reason": reason})

    def disk_state(self, disk: str, state: DiskState, reason: str) -> None:
        """Told in the log by the store itself."""
        if state is not DiskState.OK:
            self._telemetry.disk_error(disk)


class FleetObserver:
    """`proxy.cluster.cluster.ClusterObserver` and `proxy.fetch.fleet.FleetObserver`."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def peer_read(self, result: str) -> None:
        self._telemetry.peer_read(result)

    def slice_wrong(self, source: str) -> None:
        self._telemetry.slice_wrong(source)

    def slices_proven(self, count: int) -> None:
        self._telemetry.slices_proven(count)

    def peer_lied(self, peer: str) -> None:
        self._telemetry.peer_lied(peer)

    def peer_bytes(self, count: int) -> None:
        self._telemetry.peer_bytes(count)

    def view_changed(self, view: View, change: Difference) -> None:
        states = Counter("ejected" if one.name in view.ejected else one.state.value for one in view.members)
        members = {state: states[state] for state in ("up", "aside", "draining", "ejected")}
        changes = {field.name: len(getattr(change, field.name)) for field in fields(change)}
        self._telemetry.cluster_view(view.version, members, changes)

    def clock_ahead(self, seconds: float) -> None:
        self._telemetry.clock_ahead(seconds)

    def redis_call(self, result: RedisResult, seconds: float) -> None:
        self._telemetry.redis_call(result.value, None if result is RedisResult.SKIPPED else seconds)

    def redis_breaker(self, state: str) -> None:
        self._telemetry.redis_breaker(is_open=state != "closed")

    def lease(self, outcome: LeaseOutcome, seconds: float) -> None:
        self._telemetry.lease(outcome.value, seconds)

    def lease_lost(self) -> None:
        self._telemetry.lease_lost()

    def question(self, outcome: QuestionOutcome) -> None:
        self._telemetry.fleet_question(outcome.value)

    def fetched(self, reason: str, count: int) -> None:
        self._telemetry.fleet_fetched(reason, count)


class OriginObserver:
    """`proxy.origin.observer.OriginObserver`."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def request(self, host_class: str, code: int, seconds: float) -> None:
        self._telemetry.upstream_request(host_class, code or None, seconds)

    def bytes(self, host_class: str, count: int) -> None:
        self._telemetry.upstream_bytes(host_class, count)

    def rate_limit_remaining(self, count: int) -> None:
        self._telemetry.upstream_remaining("hub", count)

    def breaker(self, state: str) -> None:
        self._telemetry.upstream_breaker("hub", is_open=state != "closed")
