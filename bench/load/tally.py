"""What a generator process counts: one `Second` after another, and the sums of the whole run.

Measures are kept as they are (a float each) and sent on once a second; whoever merges the processes makes histograms of
them. So a request costs its generator three appends.
"""

from __future__ import annotations

import base64
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.core.spans import Span, coalesce

from .catalogue import File, Repo
from .wire import Exchange

MOST_SHARES: Final = 2000
"""Clients of whom fairness is told one by one, in one process."""
_RATED_FROM: Final = 1 << 20
"""Bytes from which a body has a transfer rate worth telling."""
_SPANS_KEPT: Final = 256
"""Spans of one file that are remembered before they are made one where they touch."""

Measures = tuple["array[float]", "array[float]", "array[float]"]
"""First byte and service in seconds, rate in bytes a second."""


def no_measures() -> Measures:
    return array("f"), array("f"), array("f")


@dataclass(slots=True)
class Failures:
    """Failures of one class: how many, and one of them in words."""

    count: int
    example: str


@dataclass(slots=True)
class Second:
    """What happened in one second of the run."""

    number: int
    requests: int = 0
    errors: int = 0
    hits: int = 0
    received: int = 0
    in_flight: int = 0
    cpu_share: float = 0.0
    """Of one core, in this second."""
    measures: dict[str, Measures] = field(default_factory=dict)
    failures: dict[str, Failures] = field(default_factory=dict)

    def to_plain(self) -> dict[str, Any]:
        measures = {
            kind: [base64.b64encode(one.tobytes()).decode() for one in three] for kind, three in self.measures.items()
        }
        counts = {name: getattr(self, name) for name in _COUNTS}
        failures = {name: [one.count, one.example] for name, one in self.failures.items()}
        return {"number": self.number, **counts, "measures": measures, "failures": failures}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Second:
        measures = {}
        for kind, three in plain["measures"].items():
            measures[kind] = no_measures()
            for one, text in zip(measures[kind], three, strict=True):
                one.frombytes(base64.b64decode(text))
        failures = {name: Failures(*one) for name, one in plain["failures"].items()}
        return cls(**{**plain, "measures": measures, "failures": failures})

    def merge(self, other: Second) -> None:
        """The same second, as another process has seen it; the processor's share is the greater one."""
        for name in ("requests", "errors", "hits", "received", "in_flight"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.cpu_share = max(self.cpu_share, other.cpu_share)
        for kind, three in other.measures.items():
            for mine, one in zip(self.measures.setdefault(kind, no_measures()), three, strict=True):
                mine.extend(one)
        for name, failures in other.failures.items():
            self.failures.setdefault(name, Failures(0, failures.example)).count += failures.count


@dataclass(slots=True)
class Share:
    """What one client got, and for how long it was being served (seconds)."""

    client: str
    received: int
    seconds: float


@dataclass(slots=True)
class Totals:
    """The sums of one process over the whole run. Adding two is `merge`."""

    planned: int = 0
    sent: int = 0
    late: int = 0
    dropped: int = 0
    requests: int = 0
    received: int = 0
    cuts: int = 0
    """Exchanges that ended before the whole answer had come: the mirror may have sent more than was received."""
    unread: int = 0
    """Bytes of those that had arrived at this machine's kernel, and were not read."""
    returned: int = 0
    """Answers that broke off and whose rest was asked for again."""
    checked: int = 0
    files_checked: int = 0
    wrong: int = 0
    cpu_seconds: float = 0.0
    seconds: float = 0.0
    lag: float = 0.0
    """The greatest lag of the event loop, in seconds."""
    failures: dict[str, Failures] = field(default_factory=dict)
    shares: list[Share] = field(default_factory=list)
    wanted: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """Half-open spans that were asked for, by blob (the seed of its content)."""

    def to_plain(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in _SUMS}
        plain["lag"] = self.lag
        plain["failures"] = {name: [one.count, one.example] for name, one in self.failures.items()}
        plain["shares"] = [[one.client, one.received, one.seconds] for one in self.shares]
        plain["wanted"] = {blob: _merged(spans) for blob, spans in self.wanted.items()}
        return plain

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Totals:
        rest = dict(plain)
        failures = {name: Failures(*one) for name, one in rest.pop("failures").items()}
        shares = [Share(*one) for one in rest.pop("shares")]
        wanted = {blob: [(start, stop) for start, stop in spans] for blob, spans in rest.pop("wanted").items()}
        return cls(**rest, failures=failures, shares=shares, wanted=wanted)

    def merge(self, other: Totals) -> None:
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.lag = max(self.lag, other.lag)
        for name, failures in other.failures.items():
            self.failures.setdefault(name, Failures(0, failures.example)).count += failures.count
        self.shares += other.shares
        for blob, spans in other.wanted.items():
            self.wanted[blob] = _merged([*self.wanted.get(blob, ()), *spans])

    def unique_bytes(self) -> int:
        """Each byte that was asked for, once."""
        return sum(stop - start for spans in self.wanted.values() for start, stop in _merged(spans))


_COUNTS: Final = ("requests", "errors", "hits", "received", "in_flight", "cpu_share")
_SUMS: Final = (
    *("planned", "sent", "late", "dropped", "requests", "received", "cuts", "unread"),
    *("returned", "checked", "files_checked", "wrong", "cpu_seconds", "seconds"),
)


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(span.start, span.stop) for span in coalesce(Span(start, stop) for start, stop in sorted(spans))]


class Tally:
    """The counts of one process as they grow. `clock` gives the seconds since the run began."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.totals = Totals()
        self.second = Second(0)
        self.in_flight = 0
        """Requests sent and not answered yet."""

    def seconds(self) -> float:
        """Since the run began."""
        return self._clock()

    def turn(self, number: int) -> Second:
        """End the second under way; what comes now belongs to second `number`."""
        ended, self.second = self.second, Second(number)
        ended.in_flight = self.in_flight
        return ended

    def wants(self, repo: Repo, file: File, span: tuple[int, int]) -> None:
        """A span of a file was asked for."""
        if span[0] < span[1]:
            spans = self.totals.wanted.setdefault(file.seed, [])
            spans.append(span)
            if len(spans) >= _SPANS_KEPT:
                spans[:] = _merged(spans)

    def answered(self, kind: str, intended: float, exchange: Exchange, *, hit: bool) -> None:
        """A request has been answered as it should be. `intended` is when it was meant to be sent (of the loop)."""
        self._count(exchange)
        self.second.hits += hit
        measures = self.second.measures.get(kind)
        if measures is None:
            measures = self.second.measures[kind] = no_measures()
        assert exchange.first_byte is not None, "it has been answered"
        assert exchange.ended is not None, "it has been answered"
        measures[0].append(exchange.first_byte - intended)
        measures[1].append(exchange.ended - exchange.sent)
        seconds = exchange.ended - exchange.first_byte
        if exchange.received >= _RATED_FROM and seconds > 0:
            measures[2].append(exchange.received / seconds)

    def left(self, exchange: Exchange) -> None:
        """The client went away from an answer, as it meant to."""
        self._count(exchange)
        self.totals.cuts += exchange.is_cut

    def returns(self, exchange: Exchange | None) -> None:
        """The client comes again for the rest of an answer that broke off; None: there was not even a connection."""
        self.totals.returned += 1
        if exchange is not None:
            self.left(exchange)

    def failed(self, name: str, example: str, exchange: Exchange | None = None) -> None:
        """A request went wrong; `exchange` as far as it came."""
        if exchange is not None:
            self._count(exchange)
            self.totals.cuts += exchange.is_cut
        self.second.errors += 1
        for failures in (self.totals.failures, self.second.failures):
            failures.setdefault(name, Failures(0, example)).count += 1

    def served(self, client: str, received: int, seconds: float) -> None:
        """A client's session is over."""
        if received and len(self.totals.shares) < MOST_SHARES:
            self.totals.shares.append(Share(client, received, seconds))

    def _count(self, exchange: Exchange) -> None:
        self.second.requests += 1
        self.second.received += exchange.received
        self.totals.requests += 1
        self.totals.received += exchange.received
        self.totals.unread += exchange.unread
