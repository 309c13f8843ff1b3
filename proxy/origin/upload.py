"""A request body on its way through: read once, kept nowhere."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator


class Upload:
    """The pieces of a request body for aiohttp, which reads them in a task of its own and buries what they raise:
    `failure` keeps it."""

    def __init__(self, pieces: AsyncIterable[bytes]) -> None:
        self._pieces = pieces
        self.failure: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._pieces:
                yield piece
        except Exception as error:
            self.failure = error
            raise
