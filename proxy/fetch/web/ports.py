"""What the cache of generic origins needs of its neighbours, in its own words."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import AbstractContextManager
from typing import Protocol

from proxy.core.blob import BlobRecord
from proxy.core.changes import Noted
from proxy.core.spans import Span
from proxy.rfc9111.fields import Fields
from proxy.rfc9111.stored import StoredResponse


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
    """Where the bytes of one record come from (`fetch.ports.Source`), for all its readers. `fields` go along with its
    requests."""

    fields: Fields

    def read(self, span: Span, *, can_wait: bool = False) -> AsyncGenerator[bytes, None]: ...

    def adopt(self, answer: WebAnswer, span: Span) -> None:
        """Read on from an answer that is under way already, whose body is `span`."""
        ...

    def wanting(self, span: Span) -> AbstractContextManager[None]:
        """While inside, somebody reads `span`."""
        ...

    async def aclose(self) -> None:
        """End what is under way."""
        ...


class WebOrigin(Protocol):
    """One generic origin."""

    @property
    def site(self) -> str:
        """Host and port."""
        ...

    async def ask(
        self, method: str, target: str, fields: Fields, body: AsyncIterable[bytes] | None = None
    ) -> WebAnswer:
        """One request for `target` (path and query); back when the head of its answer is here.

        Raises OriginUnreachable, OriginLied, and what `body` raises."""
        ...

    def source(self, target: str, record: BlobRecord, *, strong: bool, within: int | None = None) -> WebSource:
        """The bytes of `record` at `target`; without `strong`, none that is not adopted. No request of it goes past a
        multiple of `within` bytes."""
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

    async def drop(self, place: bytes, selecting: Fields | None = None) -> None:
        """Forget what is kept for the place: all, or that for the requests with these fields."""
        ...
