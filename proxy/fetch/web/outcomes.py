"""What became of one question to the origin, for all who waited for it."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass, field

from proxy.fetch.coordinator import CacheOutcome
from proxy.rfc9111.fields import Fields
from proxy.rfc9111.stored import StoredResponse

from .answers import Held
from .ports import WebAnswer


@dataclass(frozen=True, slots=True)
class Found:
    """A response that may be kept; `told` are the parameters of Cache-Status for who asked."""

    stored: StoredResponse
    body: Held
    outcome: CacheOutcome
    told: str


@dataclass(frozen=True, slots=True)
class ForOne:
    """An answer for whoever asked, and nobody else: the others ask for themselves."""

    answer: WebAnswer
    told: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The origin's error, short, for all who waited."""

    status: int
    fields: Fields
    body: bytes
    told: str


Outcome = Found | ForOne | Failed


@dataclass(slots=True, eq=False)
class Question:
    """A question under way. `outcome` is there when the head of the answer is; what goes wrong is raised by it."""

    outcome: asyncio.Future[Outcome] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    is_abandoned: bool = False
    """Whether the one who asked has left."""
    names: set[Hashable] = field(default_factory=set)
    """What it is found by."""
    is_over: bool = False
    """Whether the one who asks the origin has come to an end: what is found by no name any more must get no new one."""

    def settle(self, outcome: Outcome) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def fail(self, error: BaseException) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(error)
            self.outcome.exception()  # seen, even if everybody who waited has left
