"""What the mirror and the origin say of themselves during a run: /metrics and the synthetic Hub's counters."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import aiohttp
import orjson

from .node import Page
from .record import Source

_PEERS: Final = "peer"
"""The route over which nodes of a fleet read from one another."""
_SOURCES: Final = {str(source): source for source in Source}


@dataclass(frozen=True, slots=True)
class MirrorCounts:
    """Sums since the mirror started, but for the last two."""

    delivered: Mapping[Source, int] = field(default_factory=dict)
    """Body bytes to clients, by where they were taken from."""
    from_origin: int = 0
    cut_fills: int = 0
    """Downloads from the origin that did not end well."""
    to_peers: int = 0
    from_peers: int = 0
    cut_peer_reads: int = 0
    """Reads from peers that did not end well."""
    declined_peer_reads: int = 0
    """Reads from peers that had not got the bytes, or would not give them."""
    turns: int = 0
    """Looks at how late a timer of the event loop fires."""
    lag: float = 0.0
    """Seconds that they were late, together."""
    in_flight: int = 0
    filling: int = 0

    @classmethod
    def of(cls, page: Page) -> MirrorCounts:
        delivered = page.by("penstock_response_bytes_total", "source", but=("route", _PEERS))
        fills = page.by("penstock_fills_total", "result")
        reads = page.by("penstock_peer_reads_total", "result")
        return cls(
            delivered={_SOURCES[name]: int(count) for name, count in delivered.items() if name in _SOURCES},
            from_origin=int(page.total("penstock_upstream_bytes_total")),
            cut_fills=int(sum(count for result, count in fills.items() if result != "ok")),
            to_peers=int(page.total("penstock_response_bytes_total", route=_PEERS)),
            from_peers=int(page.total("penstock_peer_bytes_total")),
            cut_peer_reads=int(reads.get("failed", 0) + reads.get("left", 0)),
            declined_peer_reads=int(reads.get("elsewhere", 0) + reads.get("refused", 0)),
            turns=int(page.total("penstock_event_loop_lag_seconds_count")),
            lag=page.total("penstock_event_loop_lag_seconds_sum"),
            in_flight=int(page.total("penstock_requests_in_flight")),
            filling=int(page.total("penstock_fills_in_progress")),
        )

    @property
    def is_quiet(self) -> bool:
        return not self.in_flight and not self.filling

    @property
    def all_delivered(self) -> int:
        return sum(self.delivered.values())

    def is_older_than(self, before: MirrorCounts) -> bool:
        """It has counted less than before: it was started anew."""
        return self.all_delivered < before.all_delivered or self.from_origin < before.from_origin

    def since(self, before: MirrorCounts) -> MirrorCounts:
        """What has come on top of `before`. A mirror that was started anew meanwhile counts from nothing."""
        if self.is_older_than(before):
            return self
        grown = {name: max(0, getattr(self, name) - getattr(before, name)) for name in _GROWING}
        delivered = {source: count - before.delivered.get(source, 0) for source, count in self.delivered.items()}
        return replace(self, delivered=delivered, **grown)

    def plus(self, more: MirrorCounts) -> MirrorCounts:
        """Both; what is under way, as `more` says."""
        return replace(self._with(more), in_flight=more.in_flight, filling=more.filling)

    def beside(self, other: MirrorCounts) -> MirrorCounts:
        """Both, as those of two mirrors at the same moment."""
        return replace(
            self._with(other), in_flight=self.in_flight + other.in_flight, filling=self.filling + other.filling
        )

    def _with(self, more: MirrorCounts) -> MirrorCounts:
        names = self.delivered.keys() | more.delivered.keys()
        delivered = {source: self.delivered.get(source, 0) + more.delivered.get(source, 0) for source in names}
        sums = {name: getattr(self, name) + getattr(more, name) for name in _GROWING}
        return MirrorCounts(delivered, **sums)


_GROWING: Final = (
    *("from_origin", "cut_fills", "to_peers", "from_peers", "cut_peer_reads", "declined_peer_reads"),
    *("turns", "lag"),
)


@dataclass(frozen=True, slots=True)
class OriginCounts:
    """What the synthetic Hub has been asked and has sent."""

    sent: int = 0
    requests: int = 0
    cuts: int = 0
    """Bodies of which not everything was sent."""

    @classmethod
    def of(cls, counters: Mapping[str, Mapping[str, int]]) -> OriginCounts:
        sent, requests, cuts = (sum(counters[name].values()) for name in ("bytes", "requests", "cuts"))
        return cls(sent, requests, cuts)

    def since(self, before: OriginCounts) -> OriginCounts:
        return OriginCounts(self.sent - before.sent, self.requests - before.requests, self.cuts - before.cuts)


@dataclass(frozen=True, slots=True)
class Reading:
    """Both, since the meter was set to nothing."""

    mirror: MirrorCounts = MirrorCounts()
    origin: OriginCounts = OriginCounts()


class _Mirror:
    """One mirror's counts, over its restarts."""

    def __init__(self, admin: str) -> None:
        self.admin = admin
        self.sum = MirrorCounts()
        self.has_lost = False
        self._last = MirrorCounts()

    def take(self, now: MirrorCounts) -> None:
        self.has_lost |= now.is_older_than(self._last)
        self.sum = self.sum.plus(now.since(self._last))
        self._last = now

    def reset(self) -> None:
        self.sum = replace(MirrorCounts(), in_flight=self.sum.in_flight, filling=self.sum.filling)
        self.has_lost = False


class Meter:
    """Reads both sides. A side that does not answer (it is down, that may be the point) stands still meanwhile."""

    def __init__(self, session: aiohttp.ClientSession, admins: Sequence[str], hub: str) -> None:
        """`admins`: where the mirrors' /metrics are; none: nobody knows."""
        self._session = session
        self._mirrors = [_Mirror(admin) for admin in admins]
        self._hub = hub
        self._origin_last = OriginCounts()
        self._origin_zero = OriginCounts()

    @property
    def is_mirror_known(self) -> bool:
        """Whether the mirrors' counts are whole: what one that was started anew had counted after the last look is
        gone."""
        return bool(self._mirrors) and not any(mirror.has_lost for mirror in self._mirrors)

    def lose(self, number: int) -> None:
        """Mirror `number` ends now, and what it counted since the last look with it."""
        self._mirrors[number].has_lost = True

    async def reset(self) -> None:
        """From now on counts begin at nothing."""
        await self.read()
        for mirror in self._mirrors:
            mirror.reset()
        self._origin_zero = self._origin_last

    async def read(self, *, within: float | None = None) -> Reading:
        """`within`: seconds that a side has for its answer; None: as the session says."""
        pages = [self._get(f"{mirror.admin}/metrics", within) for mirror in self._mirrors]
        *texts, counters = await asyncio.gather(*pages, self._get(f"{self._hub}/__hub/counters", within))
        for mirror, text in zip(self._mirrors, texts, strict=True):
            if text is not None:
                mirror.take(MirrorCounts.of(Page.parse(text.decode())))
        if counters is not None:
            self._origin_last = OriginCounts.of(orjson.loads(counters))
        sums = (mirror.sum for mirror in self._mirrors)
        return Reading(functools.reduce(MirrorCounts.beside, sums, MirrorCounts()), self._grown_at_origin())

    async def members(self) -> list[int]:
        """How many nodes of its fleet each mirror sees, itself among them."""
        texts = await asyncio.gather(*(self._get(f"{mirror.admin}/metrics", None) for mirror in self._mirrors))
        pages = [Page.parse((text or b"").decode()) for text in texts]
        return [int(page.total("penstock_cluster_members", state="up")) for page in pages]

    async def arm(self, wanted: dict[str, Any]) -> None:
        """Tell the synthetic Hub what shall go wrong (see `bench.hub.faults`). Raises aiohttp.ClientError."""
        async with self._session.post(f"{self._hub}/__hub/faults", data=orjson.dumps(wanted)) as answer:
            if answer.status != 200:
                raise ValueError(f"the synthetic Hub does not know that fault: {await answer.text()}")

    def _grown_at_origin(self) -> OriginCounts:
        return self._origin_last.since(self._origin_zero)

    async def _get(self, url: str, within: float | None) -> bytes | None:
        try:
            async with asyncio.timeout(within), self._session.get(url) as answer:
                return await answer.read() if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None
