"""Answers before the answer (1xx), passed on to the client who waits (RFC 9110 §15.2)."""

from __future__ import annotations

from typing import Final

from proxy.rfc9111.fields import Fields, end_to_end, without

from .presence import ClientGone
from .visit import Visit

_OURS: Final = frozenset({100, 101})
"""Statuses that say something of one connection alone."""
_FRAMING: Final = frozenset({"content-length"})
"""Fields that no interim answer has (RFC 9110 §8.6)."""


class InterimAnswers:
    """Writes them to the client of one request until `end`: behind that, they would stand before another's answer.

    A question goes on when its client has left, and the connection may have the next request by then."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._is_over = visit.request.version < (1, 1)  # whose clients know of none

    def __call__(self, status: int, fields: Fields) -> None:
        if self._is_over or status in _OURS:
            return
        lines = "".join(f"{name}: {text}\r\n" for name, text in without(end_to_end(fields), _FRAMING))
        try:
            self._visit.connection.transport.write(
                f"HTTP/1.1 {status} Interim\r\n{lines}\r\n".encode("utf-8", "surrogateescape")
            )
        except ClientGone:
            self._is_over = True

    def end(self) -> None:
        """From now on nothing is written. Idempotent."""
        self._is_over = True
