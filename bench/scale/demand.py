"""What is wanted how often, as theory needs it: repos of three kinds, with their sizes; and theory at any scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bench.load.workload import Habits
from bench.scenario import Scenario

from . import che


@dataclass(frozen=True, slots=True)
class Demand:
    """`sessions` a second that read a repo; bytes of the popular ones by rank and of the releases by birth; `once`, the
    mean of those wanted once (0: there are none)."""

    sessions: float
    popular: che.Floats
    releases: che.Floats
    once: float

    def hit_ratio(self, habits: Habits, room: float, *, at: float, since: float) -> float:
        """Of one cache of `room` bytes that was empty `since` seconds ago, with the interests of second `at`."""
        release_share = habits.release_share if len(self.releases) else 0.0
        once_share = habits.once_share if self.once else 0.0
        ranks = np.arange(1, len(self.popular) + 1, dtype=np.float64)
        popular = _divided(1.0 - release_share - once_share, ranks**-habits.alpha)
        rates = np.concatenate((popular, _divided(release_share, self._interests(habits, at)))) * self.sessions
        sizes = np.concatenate((self.popular, self.releases))
        return che.byte_hit_ratio(rates, sizes, room, passing=self.sessions * once_share * self.once, since=since)

    def _interests(self, habits: Habits, at: float) -> che.Floats:
        numbers = np.arange(len(self.releases))
        hype, adopted = habits.half_lives
        half_lives = np.where(numbers % 5 == 4, adopted, hype)
        return np.asarray(2.0 ** (-(at - numbers * habits.release_every) / half_lives), dtype=np.float64)


def steady(scenario: Scenario, repos: int, share: float, seed: int) -> float:
    """What theory says of one cache of `share` of the bytes, after so long that it does not matter how it began, were
    there `repos` popular ones and the others in proportion."""
    clients, extent = scenario.clients, scenario.catalogue.extent()
    scale, chance = repos / extent.popular, np.random.default_rng(seed)
    born = max(1, round(extent.releases * scale))
    location = math.log(extent.mean_bytes) - extent.sigma**2 / 2
    drawn = np.minimum(chance.lognormal(location, extent.sigma, repos + born), extent.most_bytes)
    demand = Demand(1.0, drawn[:repos], drawn[repos:], float(drawn.mean()))
    lasting = extent.releases * clients.release_every
    habits = clients.model_copy(update={"release_every": lasting / born}).habits(herd=False)
    return demand.hit_ratio(habits, share * float(drawn.sum()), at=lasting, since=math.inf)


def _divided(share: float, weights: che.Floats) -> che.Floats:
    return np.asarray(share * weights / weights.sum(), dtype=np.float64) if len(weights) else weights
