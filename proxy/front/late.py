"""An answer of the fast lane that its client does not take at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .presence import ClientStalled


class LateAnswer:
    """Watches until the kernel has taken the last byte. A client that takes none for `patience` seconds is let go.

    `ended` is called once, with the class of the error that ended it, or None when all is well.
    """

    def __init__(self, transport: asyncio.Transport, patience: float, ended: Callable[[str | None], None]) -> None:
        self._transport = transport
        self._patience = patience
        self._ended = ended
        self._waiting = transport.get_write_buffer_size()
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(patience, self._look)

    def end(self, failure: str | None) -> None:
        """It is taken, or never will be."""
        self._timer.cancel()
        self._ended(failure)

    def _look(self) -> None:
        waiting = self._transport.get_write_buffer_size()
        if waiting >= self._waiting:
            self._ended(ClientStalled.__name__)
            self._transport.abort()
            return
        self._waiting = waiting
        self._timer = self._loop.call_later(self._patience, self._look)
