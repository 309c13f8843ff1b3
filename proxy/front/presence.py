"""Whether a client is still there, told to whoever answers it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class ClientGone(ConnectionError):
    """The client has left; there is nobody to answer."""


class ClientStalled(ClientGone):
    """The client took no byte for the send timeout and was let go."""


class Presence:
    """Of one client, for as long as its connection lasts. It is not there before `arrived`."""

    def __init__(self) -> None:
        self._is_here = False
        self._on_leaving: Callable[[], None] | None = None

    def arrived(self) -> None:
        self._is_here = True

    def left(self) -> None:
        self._is_here = False
        if self._on_leaving is not None:
            self._on_leaving()

    def watch(self, on_leaving: Callable[[], None]) -> None:
        """Have it called when the client leaves, until `unwatch`. Raises ClientGone when it has."""
        if not self._is_here:
            raise ClientGone("the connection has ended")
        assert self._on_leaving is None, "a connection answers one request at a time"
        self._on_leaving = on_leaving

    def unwatch(self) -> None:
        self._on_leaving = None


class WhileConnected:
    """Cancels the task inside it when the connection is lost, and turns that cancellation into ClientGone."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._fired = False

    async def __aenter__(self) -> None:
        self._presence.watch(self._fire)
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._presence.unwatch()
        # As in asyncio.timeout: only our own cancellation is translated, one from outside goes on.
        if not self._fired:
            return
        assert self._task is not None
        ours = self._task.uncancel() <= self._cancelling
        if ours and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise ClientGone("the client left") from error

    def _fire(self) -> None:
        self._fired = True
        assert self._task is not None
        self._task.cancel()
