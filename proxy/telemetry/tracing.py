"""Traces: which request caused which question to whom. Nothing of it costs anything unless it is switched on.

A request that is answered is a *span*, current in its own context; tasks that it starts (a download, say) inherit it,
so whatever they ask of a peer or of the origin becomes its child, and tells it on (W3C Trace Context). `otel` makes
spans of OpenTelemetry; the rooms know this file alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Final, Protocol

Traits = Mapping[str, str | int]
"""What is said of a span, by the names of OpenTelemetry's conventions. Never a token, a signed address or a client."""


class Span(Protocol):
    """One step of a trace, under way."""

    def child(self, name: str, traits: Traits) -> Span:
        """A question to somebody else, begun now."""
        ...

    def fields(self, *, outside: bool) -> Mapping[str, str]:
        """The header fields that tell on which trace this is; `outside` of the fleet, if that was asked for."""
        ...

    def note(self, traits: Traits) -> None: ...

    def end(self, error: str | None = None) -> None: ...


class Tracer(Protocol):
    """Who makes spans of requests."""

    def serving(self, name: str, fields: Mapping[str, str]) -> AbstractContextManager[Span | None]:
        """A request with these header fields is answered in this block."""
        ...


class Untraced:
    """Nobody wants to know."""

    def serving(self, name: str, fields: Mapping[str, str]) -> AbstractContextManager[Span | None]:
        return nullcontext()


current: Final[ContextVar[Span | None]] = ContextVar("span", default=None)
"""The request in whose context this runs, or which has caused the task that runs."""


@contextmanager
def asking(name: str, traits: Traits) -> Iterator[Span | None]:
    """A question to somebody else in this block, as a part of the trace; None where nothing is traced."""
    here = current.get()
    if here is None:
        yield None
        return
    span = here.child(name, traits)
    try:
        yield span
    except BaseException as error:
        span.end(type(error).__name__)
        raise
    span.end()
