"""What became of one question to the origin, for all who waited for it."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Protocol

from proxy.fetch.coordinator import CacheOutcome
from proxy.rfc9111.fields import Fields
from proxy.rfc9111.stored import StoredResponse
from proxy.rfc9111.storing import OF_ONE_REQUEST

from .answers import Held, WebRequest
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

    @property
    def is_of_the_place(self) -> bool:
        """Whether what others ask there will be for them alone, too: it was not this one request."""
        return self.answer.status < 500 and self.answer.status not in OF_ONE_REQUEST


@dataclass(frozen=True, slots=True)
class ForEach:
    """No answer: another worker has found that it is for one alone. All who waited ask for themselves."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The origin's error, short, for all who waited."""

    status: int
    fields: Fields
    body: bytes
    told: str


Outcome = Found | ForOne | ForEach | Failed


@dataclass(slots=True, eq=False)
class Question:
    """A question under way. `outcome` is there when the head of the answer is; what goes wrong is raised by it."""

    outcome: asyncio.Future[Outcome] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    is_abandoned: bool = False
    """Whether the one who asked has left."""
    is_shared: bool = False
    """Whether others may wait for it."""
    is_behind: bool = False
    """Whether it is asked behind the back of a client that has a stale answer."""
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


class Ring(Protocol):
    """Gets questions answered: by the origin, or by somebody before it."""

    def is_elsewhere(self, request: WebRequest) -> bool:
        """Whether another node is asked for it before the origin: nobody of another node waits for that here."""
        ...

    async def ask(
        self, request: WebRequest, stored: StoredResponse | None, question: Question, *, verbatim: bool
    ) -> None:
        """Settle `question` as soon as it is known how, and see to the body. `stored` is to be confirmed.

        `verbatim`: the answer is known not to be kept, so that the client's range goes as it is. Raises PenstockError
        when there is no answer."""
        ...
