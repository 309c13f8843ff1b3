"""What the cache of generic origins needs of its neighbours, in its own words."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import AbstractContextManager
from typing import Protocol

from proxy.core.blob import BlobKey, BlobRecord
from proxy.core.changes import Noted
from proxy.core.spans import Span
from proxy.fetch.ports import Source
from proxy.hub.web_asking import AnswerQuestion
from proxy.rfc9111.fields import Fields
from proxy.rfc9111.stored import StoredResponse

Interim = Callable[[int, Fields], None]
"""Hears of the answers that come before the real one (1xx): status and fields."""


class WebAnswer(Protocol):
    """An answer of the origin whose head is here. To be closed by whoever holds it, however it ends."""

    status: int
    fields: Fields
    """Names in lower case."""
    length: int | None
    """Bytes of the body, as announced; None when its head does not say."""
    is_delimited: bool
    """Whether the body's end can be told from a cut."""

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises OriginUnreachable when it is cut."""
        ...

    async def aclose(self) -> None:
        """Let go of the connection; one with a body still on its way is cut."""
        ...


class WebSource(Protocol):
    """Where the bytes of one record come from, for all its readers."""

    def asked_with(self, fields: Fields) -> Source:
        """The source for one client: what it wants is asked for with its `fields`, and a refusal is its alone."""
        ...

    def adopt(self, answer: WebAnswer, span: Span) -> None:
        """Read on from an answer that is under way already, whose body is `span`."""
        ...

    def wanting(self, span: Span) -> AbstractContextManager[None]:
        """While inside, somebody reads `span`."""
        ...

    def reaching(self, span: Span) -> AbstractContextManager[None]:
        """While inside, no request that begins in `span` goes past its end."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether its readers want different parts of it."""
        ...

    def is_near(self, span: Span) -> bool:
        """Whether an answer stands at the beginning of `span`, or will in a moment."""
        ...

    def front(self, offset: int) -> int | None:
        """Where the answer stands that is to bring the byte at `offset`, nearest to it; None when none is."""
        ...

    async def let_go(self, front: int) -> None:
        """End the answers that stand at `front` and that nobody reads."""
        ...

    async def aclose(self) -> None:
        """End what is under way."""
        ...


class Forecast(Protocol):
    """What the workers of a node tell one another of the answers that bring one blob; in whole chunks."""

    def say(self, span: Span) -> None:
        """From now on `span` is on its way, by an answer that this worker reads."""
        ...

    def unsay(self, span: Span) -> None:
        """It has come, or does not come."""
        ...

    def front(self, offset: int) -> int | None:
        """Where the answer of another worker stands that is to bring the byte at `offset`; None when none is."""
        ...

    def ahead(self, span: Span) -> int:
        """Where in `span` begins what another worker's answer is to bring; its end when there is none, or it begins
        before."""
        ...

    def read(self, *, here: bool) -> None:
        """Whether this worker has readers."""
        ...

    @property
    def is_read_elsewhere(self) -> bool:
        """Whether another worker has readers."""
        ...


class Forecasts(Protocol):
    """Those of one worker."""

    def of(self, key: BlobKey) -> Forecast: ...


class WebOrigin(Protocol):
    """One generic origin."""

    @property
    def site(self) -> str:
        """Host and port."""
        ...

    async def ask(
        self,
        method: str,
        target: str,
        fields: Fields,
        body: AsyncIterable[bytes] | None = None,
        interim: Interim | None = None,
    ) -> WebAnswer:
        """One request for `target` (path and query); back when the head of its answer is here. `interim` hears of
        those before it, if it can be had.

        Raises OriginUnreachable, OriginLied, and what `body` raises."""
        ...

    def source(
        self, target: str, record: BlobRecord, *, strong: bool, forecast: Forecast, within: int | None = None
    ) -> WebSource:
        """The bytes of `record` at `target`; without `strong`, none that is not adopted. No request of it goes past a
        multiple of `within` bytes."""
        ...


class FellowAnswer(Protocol):
    """What another node gives: a head (`telling`), and a body if there is one. To be closed by whoever holds it."""

    said: bytes
    length: int | None

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises PeerFailed when it is cut."""
        ...

    async def aclose(self) -> None: ...


class Fellows(Protocol):
    """The other nodes, as those who may have, or get, the answers of generic origins."""

    def before_us(self, place: BlobKey) -> tuple[str, ...]:
        """Whom to ask before the origin, best first; nobody when it is ours to ask."""
        ...

    async def ask(self, peer: str, question: AnswerQuestion) -> FellowAnswer:
        """Its answer, when it has the head. Raises PeerFailed: it is broken; AskAnother: it will not give one now."""
        ...


class Lead(Protocol):
    """The right to ask a question for all workers of the node; it ends with the worker."""

    def end(self) -> None:
        """Let the others look. Idempotent."""
        ...

    def tell(self) -> None:
        """From now on the others hear that each is to ask for itself; to be called before `end`."""
        ...

    def take_back(self) -> None:
        """No more of that."""
        ...


class Leads(Protocol):
    """The leads of one worker. A question is a digest of at least 8 bytes, the same in all workers."""

    def take(self, question: bytes) -> Lead | None:
        """None when somebody has it."""
        ...

    def is_taken(self, question: bytes) -> bool:
        """Whether another worker has it."""
        ...

    def is_for_each(self, question: bytes) -> bool:
        """Whether another worker has told so a moment ago."""
        ...


class Responses(Protocol):
    """The heads that are kept. A place is 32 bytes that stand for an origin and a target."""

    def noted(self, place: bytes) -> Noted:
        """Holds until any worker of the node keeps or drops a response of the place."""
        ...

    def at(self, place: bytes) -> tuple[StoredResponse, ...]:
        """All responses kept for the place, whatever requests they are for."""
        ...

    async def keep(self, place: bytes, origin: str, target: str, stored: StoredResponse) -> None:
        """Keep `stored`, in place of the one for the same requests. Seen by all workers when it returns."""
        ...

    def is_purged(self, origin: str, target: str, stored: StoredResponse) -> bool:
        """Whether somebody has wanted such a response to be gone since it was asked for."""
        ...

    async def drop(self, place: bytes, selecting: Fields | None = None) -> None:
        """Forget what is kept for the place: all, or that for the requests with these fields."""
        ...

    async def void(self, place: bytes, origin: str, target: str, at: float) -> None:
        """Forget what is kept for the place and was asked for by `at` (wall clock), and keep nothing such that any
        worker of the node brings later. Raises RequestRefused for a target that no purge can name."""
        ...
