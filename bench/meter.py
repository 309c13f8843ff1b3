"""What the mirror and the origin say of themselves during a run: /metrics and the synthetic Hub's counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import orjson

from .node import Page
from .record import Source

_SOURCES: Final = {str(source): source for source in Source}


@dataclass(frozen=True, slots=True)
class MirrorCounts:
    """Sums since the mirror started, but for the last two."""

    delivered: Mapping[Source, int] = field(default_factory=dict)
    """Body bytes by where they were taken from."""
    from_origin: int = 0
    cut_fills: int = 0
    """Downloads from the origin that did not end well."""
    in_flight: int = 0
    filling: int = 0

    @classmethod
    def of(cls, page: Page) -> MirrorCounts:
        delivered = page.by("penstock_response_bytes_total", "source")
        fills = page.by("penstock_fills_total", "result")
        return cls(
            {_SOURCES[name]: int(count) for name, count in delivered.items() if name in _SOURCES},
            int(page.total("penstock_upstream_bytes_total")),
            int(sum(count for result, count in fills.items() if result != "ok")),
            int(page.total("penstock_requests_in_flight")),
            int(page.total("penstock_fills_in_progress")),
        )

    @property
    def is_quiet(self) -> bool:
        return not self.in_flight and not self.filling

    @property
    def all_delivered(self) -> int:
        return sum(self.delivered.values())

    def since(self, before: MirrorCounts) -> MirrorCounts:
        """What has come on top of `before`. A mirror that was started anew meanwhile counts from nothing."""
        if self.all_delivered < before.all_delivered or self.from_origin < before.from_origin:
            return self
        delivered = {source: count - before.delivered.get(source, 0) for source, count in self.delivered.items()}
        return MirrorCounts(
            delivered,
            self.from_origin - before.from_origin,
            max(0, self.cut_fills - before.cut_fills),
            self.in_flight,
            self.filling,
        )

    def plus(self, more: MirrorCounts) -> MirrorCounts:
        names = self.delivered.keys() | more.delivered.keys()
        return MirrorCounts(
            {source: self.delivered.get(source, 0) + more.delivered.get(source, 0) for source in names},
            self.from_origin + more.from_origin,
            self.cut_fills + more.cut_fills,
            more.in_flight,
            more.filling,
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


class Meter:
    """Reads both sides. A side that does not answer (it is down, that may be the point) stands still meanwhile."""

    def __init__(self, session: aiohttp.ClientSession, admin: str | None, hub: str) -> None:
        """`admin`: where /metrics is; None: nobody knows."""
        self._session = session
        self._admin = admin
        self._hub = hub
        self._mirror_last = MirrorCounts()
        self._mirror_sum = MirrorCounts()
        self._origin_last = OriginCounts()
        self._origin_zero = OriginCounts()
        self.has_lost = False
        """The mirror was started anew: what it counted after the last look is gone."""

    async def reset(self) -> None:
        """From now on counts begin at nothing."""
        await self.read()
        self._mirror_sum = MirrorCounts()
        self._origin_zero = self._origin_last

    async def read(self) -> Reading:
        if self._admin is not None and (text := await self._get(f"{self._admin}/metrics")) is not None:
            self._take(MirrorCounts.of(Page.parse(text.decode())))
        if (text := await self._get(f"{self._hub}/__hub/counters")) is not None:
            self._origin_last = OriginCounts.of(orjson.loads(text))
        return Reading(self._mirror_sum, self._origin_last.since(self._origin_zero))

    async def arm(self, wanted: dict[str, Any]) -> None:
        """Tell the synthetic Hub what shall go wrong (see `bench.hub.faults`). Raises aiohttp.ClientError."""
        async with self._session.post(f"{self._hub}/__hub/faults", data=orjson.dumps(wanted)) as answer:
            if answer.status != 200:
                raise ValueError(f"the synthetic Hub does not know that fault: {await answer.text()}")

    def _take(self, now: MirrorCounts) -> None:
        grown = now.since(self._mirror_last)
        self.has_lost |= now.all_delivered < self._mirror_last.all_delivered
        self._mirror_sum = self._mirror_sum.plus(grown)
        self._mirror_last = now

    async def _get(self, url: str) -> bytes | None:
        try:
            async with self._session.get(url) as answer:
                return await answer.read() if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None
