"""A request body on its way through: read once, kept nowhere."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator

from proxy.core.errors import OriginUnreachable


class Upload:
    """The pieces of a request body for aiohttp, which reads them in a task of its own and buries what they raise:
    `failure` keeps it."""

    def __init__(self, pieces: AsyncIterable[bytes]) -> None:
        self._pieces = pieces
        self.failure: Exception | None = None
        self._is_begun = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            if self._is_begun:
                # aiohttp sends idempotent requests again when a connection ends: nothing would be left of this body.
                raise OriginUnreachable("the connection to the origin ended while the body was passed on")
            self._is_begun = True
            async for piece in self._pieces:
                yield piece
        except Exception as error:
            self.failure = error
            raise
