"""What the front tells of each request: one `Exchange` when it is over, and two gauges while it lasts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from proxy.fetch.coordinator import CacheOutcome
from proxy.fetch.reading import ByteSource

ROUTES = ("resolve", "raw", "api", "git", "lfs", "oci", "xet", "peer", "manifest", "web", "other")
"""The closed set of route labels; `other` is health checks and what never reached a route."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what became of it; durations in seconds, sizes in bytes of body (heads are not counted).

    The sum of `sent` over all exchanges is every body byte this process handed to the kernel: it must equal the bytes
    that came from disk, memory, fills and relays.
    """

    request_id: str
    client: str
    method: str
    target: str
    """The raw path as the client sent it, without its query (which may be signed), at most 1024 characters."""
    route: str
    code: int
    """The status sent; 499 when the client left before there was one."""
    cache: CacheOutcome
    sent: tuple[tuple[ByteSource, int], ...]
    size: int
    """What the head promised; more than was sent when `aborted`, and for HEAD."""
    range: str | None
    """The Range field as it came, at most 128 characters."""
    first_byte_seconds: float | None
    """From the request's head to the answer's head; None when no head was sent."""
    seconds: float
    aborted: bool
    """The body did not end as promised: the client left, or an error broke the connection."""
    failure: str | None
    """The class of the error behind a problem answer or a broken body."""
    user_agent: str | None
    host: str
    """The Host field, at most 255 characters; empty when there was none."""
    repo: str | None = None
    """`datasets/acme/corpus`, where the target named one."""
    revision: str | None = None
    path: str | None = None
    """The file's decoded path in its repo."""
    peer: str | None = None
    """The node of the fleet that asked; None for a client."""

    @property
    def body_bytes(self) -> int:
        return sum(count for _, count in self.sent)


class Observer(Protocol):
    """Who keeps the books. Called on the event loop: must return at once and must not raise."""

    @property
    def logs(self) -> bool:
        """Whether requests that are booked in sums are wanted one by one as well (`logged`)."""
        ...

    def connection_opened(self) -> None: ...

    def connection_closed(self) -> None: ...

    def connection_refused(self, reason: str) -> None:
        """`reason` is one of "limit", "client_limit", "header_timeout", "header_size", "request_line"."""
        ...

    def request_began(self) -> None: ...

    def bytes_sent(self, route: str, source: ByteSource, count: int) -> None:
        """The kernel took `count` body bytes of an answer: called as they move, and again summed up in the account."""
        ...

    def leaked(self) -> None:
        """An answer held something that leads its client away from here."""
        ...

    def request_ended(self, exchange: Exchange) -> None: ...

    def repeated(self, like: Exchange, count: int, seconds: float) -> None:
        """`count` requests began and ended, all like `like`, none longer than a millisecond, in `seconds` together.
        Their bytes are not told by `bytes_sent`; they are not for the log (`logged`)."""
        ...

    def logged(self, exchange: Exchange) -> None:
        """One of those that are booked in sums."""
        ...


class SilentObserver:
    """Keeps nothing."""

    logs = False

    def connection_opened(self) -> None:
        pass

    def connection_closed(self) -> None:
        pass

    def connection_refused(self, reason: str) -> None:
        pass

    def request_began(self) -> None:
        pass

    def bytes_sent(self, route: str, source: ByteSource, count: int) -> None:
        pass

    def leaked(self) -> None:
        pass

    def request_ended(self, exchange: Exchange) -> None:
        pass

    def repeated(self, like: Exchange, count: int, seconds: float) -> None:
        pass

    def logged(self, exchange: Exchange) -> None:
        pass
