"""Runs that never ran: seeded numbers in the shape of a real record, for the tests of what reads records."""

from __future__ import annotations

import math
from random import Random

from bench.histograms import Histogram, Measure, merged
from bench.record import (
    Check,
    ClientShare,
    Conservation,
    Cost,
    Distribution,
    Environment,
    ErrorClass,
    Generator,
    Interval,
    Latencies,
    Loop,
    Mark,
    Moment,
    Promise,
    Resources,
    Run,
    Scenario,
    Source,
    Sum,
    Verification,
)

KINDS = ("head", "range", "whole")
_FAULT = range(20, 26)
"""The seconds in which the origin of a sampled run answers 429."""


def sampled_run(seed: int = 1, *, seconds: int = 40, slower: float = 1.0) -> Run:
    """A warm-up, a plateau, a short fault of the origin. `slower` stretches every first byte and service time."""
    chance = Random(seed)
    series = tuple(_moment(chance, second, seconds) for second in range(seconds))
    by_source = {source: sum(moment.bytes[source] for moment in series) for source in Source}
    from_origin = sum(moment.origin_bytes for moment in series)
    requests = sum(moment.requests for moment in series)
    return Run(
        scenario=Scenario("steady", Loop.OPEN, seed, {"rate": 220.0, "duration": float(seconds), "catalogue": "org"}),
        environment=_environment(),
        begin=1_780_000_000.0 + seed,
        seconds=float(seconds),
        series=series,
        latencies=_latencies(chance, series, slower),
        generator=Generator(2, requests + 12, requests + 9, 9, 3, 0.42, 0.004),
        conservation=_conservation(by_source, from_origin),
        verification=Verification(Check.FULL, sum(by_source.values()), 412, 0),
        marks=(Mark(float(_FAULT.start), "origin: 429"), Mark(float(_FAULT.stop), "origin: well again")),
        errors=(
            ErrorClass("429 handed on", sum(moment.errors for moment in series) or 1, "GET /api/models", expected=True),
            ErrorClass("aborted by the client", 31, "GET /acme/m-7/resolve/main/model.safetensors", expected=True),
        ),
        fairness=tuple(ClientShare(f"client-{n}", int(chance.gauss(9e8, 4e7)), float(seconds)) for n in range(16)),
        promises=(Promise("errors < 0.1 %", kept=True, found="0.00 %"),),
        cost=Cost(cpu_seconds=seconds * 0.81, peak_resident_bytes=143 << 20),
        resources=tuple(_resources(chance, second) for second in range(seconds)),
    )


def _resources(chance: Random, second: int) -> Resources:
    return Resources(
        second + 1.0, int(chance.gauss(120 << 20, 1 << 20)), chance.randrange(60, 90), chance.gauss(2e-3, 1e-4)
    )


def _environment() -> Environment:
    versions = {"python": "3.11.7", "penstock": "0.1.0", "aiohttp": "3.14.5", "uvloop": "0.23.0"}
    pinning = "proxy on core 0, load and origin on core 1"
    return Environment("A Processor @ 2.80GHz", 2, 8 << 30, "Linux 6.1.0", versions, "3c325ff+", pinning)


def _moment(chance: Random, second: int, seconds: int) -> Moment:
    warmth = 1 - 0.9 * math.exp(-second / (seconds / 6))
    fault = second in _FAULT
    requests = int(220 * chance.uniform(0.93, 1.07))
    whole = requests * chance.gauss(1.6e6, 5e4)
    fill = 0 if fault else int(whole * (1 - warmth))
    by_source = {Source.DISK: int(whole * warmth * 0.93), Source.MEMORY: int(whole * warmth * 0.07), Source.FILL: fill}
    by_source |= {Source.RELAY: fill // 40, Source.PEER: 0}
    return Moment(
        second=second,
        bytes=by_source,
        requests=requests,
        errors=chance.randrange(3) if fault else 0,
        hits=int(requests * warmth),
        in_flight=int(40 * (2 if fault else 1) * chance.uniform(0.8, 1.2)),
        origin_bytes=fill,
        origin_requests=fill >> 20,
    )


def _latencies(chance: Random, series: tuple[Moment, ...], slower: float) -> Latencies:
    intervals = tuple(Interval(float(moment.second), 1.0, _distributions(chance, moment, slower)) for moment in series)
    whole = []
    for kind in KINDS:
        for measure in Measure:
            parts = (one for it in intervals for one in it.distributions if (one.kind, one.measure) == (kind, measure))
            whole.append(Distribution.of(kind, merged(measure, (one.histogram() for one in parts))))
    return Latencies(tuple(whole), intervals)


def _distributions(chance: Random, moment: Moment, slower: float) -> tuple[Distribution, ...]:
    strain = slower * (4.0 if moment.second in _FAULT else 1.0)
    share = moment.requests // len(KINDS)
    found = []
    for number, kind in enumerate(KINDS):
        first, service, rate = Histogram(Measure.FIRST_BYTE), Histogram(Measure.SERVICE), Histogram(Measure.RATE)
        for _ in range(share):
            waited = chance.lognormvariate(-6.5 + number / 2, 0.7) * strain
            first.add(waited)
            service.add(waited + number * chance.lognormvariate(-4, 0.8))
            rate.add(chance.lognormvariate(19.3, 0.5) / strain)
        found += [Distribution.of(kind, one) for one in (first, service, rate) if kind != "head" or one is not rate]
    return tuple(found)


def _conservation(by_source: dict[Source, int], from_origin: int) -> Conservation:
    delivered = sum(by_source.values())
    return Conservation(
        client_bytes=delivered,
        proxy_bytes=by_source,
        proxy_origin_bytes=from_origin,
        origin_bytes=from_origin,
        unique_bytes=int(from_origin / 1.004),
        sums=(
            Sum("client received = proxy sent", delivered, delivered, 0),
            Sum("proxy read = origin sent", from_origin, from_origin, 1 << 20),
        ),
    )
