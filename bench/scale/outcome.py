"""A simulated fleet in figures, beside what theory says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from bench.load.catalogue import Catalogue, Repo
from bench.load.workload import Act
from bench.scenario import Scenario

from . import che
from .demand import Demand
from .fleet import Fleet, Setting
from .leases import beating
from .trace import catalogue_of, visits

WORKERS: Final = 4
"""Of a node; only what a fleet asks Redis at rest depends on it."""
_MOMENTS: Final = 16
"""At so many moments theory is asked."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One simulation: `cache` is what all nodes together may keep, as a share of the bytes of the catalogue that are
    read more than once."""

    nodes: int
    cache: float
    requests: int
    seed: int
    relieved: bool = True
    ghosts: int = 2_000
    lru: bool = False
    lose_at: int | None = None
    owned_stay: bool = True
    kept_again: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. Of the second half, but for `origin_times`."""

    wanted: Wanted
    requests: int
    seconds: float
    """Of virtual time, all of it."""
    catalogue: int
    """Bytes that are read more than once."""
    room: int
    """Bytes that one node may keep."""
    requests_per_second: float
    bytes_per_second: float
    hit_ratio: float
    """The share of the bytes wanted that did not come from the origin."""
    own_ratio: float
    """The share that was on the node that was asked."""
    theory: float
    """What `che` says of one cache as large as all nodes together."""
    origin_times: float
    """Bytes from the origin, over those of the slices that anybody wanted: 1 is the least there can be. From the
    beginning on."""
    hottest: float
    """Bytes sent, to readers and peers, by the node that sent most, over the mean."""
    hottest_for_peers: float
    peer_share: float
    """Bytes sent to peers, over bytes wanted."""
    written_per_second: float
    """Bytes that a node writes, on average."""
    followed: int
    found: int
    """Bytes that leases saved: read from the one that had the lease, or that was told to have them."""
    redis_per_second: dict[str, float]


def simulated(scenario: Scenario, wanted: Wanted) -> Outcome:
    """Play it; the same has the same outcome."""
    catalogue = catalogue_of(scenario, wanted.seed)
    again = sum(repo.size for repo in (*catalogue.popular, *catalogue.releases))
    room = int(again * wanted.cache / wanted.nodes)
    fleet = Fleet(
        Setting(
            nodes=wanted.nodes,
            room=room,
            seed=wanted.seed,
            relieved=wanted.relieved,
            ghosts=wanted.ghosts,
            lru=wanted.lru,
            lose_at=wanted.lose_at,
            owned_stay=wanted.owned_stay,
            kept_again=wanted.kept_again,
        )
    )
    fleet.play(visits(scenario, catalogue, wanted.seed), wanted.requests)
    books = fleet.books
    moments = np.linspace(books.half_at or 0.0, books.last_at, _MOMENTS)
    theory = float(np.mean([theoretical(scenario, catalogue, room * wanted.nodes, at) for at in moments]))
    return _outcome(wanted, fleet, again, room, theory)


def _outcome(wanted: Wanted, fleet: Fleet, catalogue: int, room: int, theory: float) -> Outcome:
    books = fleet.books
    seconds = max(books.last_at - (books.half_at or 0.0), 1e-9)
    sent = [ours + theirs for ours, theirs in zip(books.to_readers, books.to_peers, strict=True)]
    calls = {name: count - books.calls_before[name] for name, count in fleet.redis.calls.items()}
    return Outcome(
        wanted=wanted,
        requests=books.requests,
        seconds=books.last_at,
        catalogue=catalogue,
        room=room,
        requests_per_second=(books.requests - books.requests_before) / seconds,
        bytes_per_second=books.wanted_bytes / seconds,
        hit_ratio=1.0 - books.origin / books.wanted_bytes,
        own_ratio=1.0 - books.missed_bytes / books.wanted_bytes,
        theory=theory,
        origin_times=books.all_origin / books.unique,
        hottest=hottest(sent),
        hottest_for_peers=hottest(books.to_peers),
        peer_share=sum(books.to_peers) / books.wanted_bytes,
        written_per_second=sum(books.taken_in) / wanted.nodes / seconds,
        followed=books.followed,
        found=books.found,
        redis_per_second={
            **{name: count / seconds for name, count in sorted(calls.items())},
            "at rest": beating(wanted.nodes, WORKERS),
        },
    )


def hottest(counts: Sequence[int]) -> float:
    """The largest over the mean; 1 where there is nothing."""
    return max(counts) * len(counts) / sum(counts) if sum(counts) else 1.0


def theoretical(scenario: Scenario, catalogue: Catalogue, room: float, at: float) -> float:
    """The byte hit ratio of one cache of `room` bytes at second `at` of the run, by theory: files of a repo are read
    together, popularity stands still (that of releases as it is at that moment)."""
    habits = scenario.clients.habits(herd=False)
    acts = dict(habits.acts)
    reading = acts.get(Act.SNAPSHOT, 0.0) + acts.get(Act.FILE, 0.0)
    born = min(len(catalogue.releases), 1 + int(at / habits.release_every)) if habits.release_share else 0
    demand = Demand(
        sessions=scenario.load.rate * reading / sum(acts.values()),
        popular=_sizes(catalogue.popular),
        releases=_sizes(catalogue.releases[:born]),
        once=float(_sizes(catalogue.once).mean()) if catalogue.once else 0.0,
    )
    return demand.hit_ratio(habits, room, at=at, since=at)


def _sizes(repos: Sequence[Repo]) -> che.Floats:
    return np.array([float(one.size) for one in repos], dtype=np.float64)


__all__ = ["Outcome", "Wanted", "hottest", "simulated", "theoretical"]
