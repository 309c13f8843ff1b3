"""Reading the body of a request: bounded in time, and in size where it is held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from aiohttp import web

from proxy.core.errors import RequestRefused

from .limits import Limits
from .presence import ClientGone
from .strictness import BodyTooLong, BodyTooSlow
from .visit import Visit


async def read_body(visit: Visit, limits: Limits, *, codings: frozenset[str] = frozenset({"identity"})) -> bytes:
    """The whole body, as it came (no coding is undone; those in `codings` are taken).

    Raises BodyTooLong, BodyTooSlow, RequestRefused (a coding, broken framing), ClientGone.
    """
    request = visit.request
    announced = request.content_length
    if announced is not None and announced > limits.body_bytes:
        raise BodyTooLong(f"the body is longer than {limits.body_bytes} bytes")
    if request.headers.get("Content-Encoding", "identity").lower() not in codings:
        raise RequestRefused("send the body as it is, without Content-Encoding")
    deadline = asyncio.get_running_loop().time() + limits.body_timeout
    late = f"the body was not complete within {limits.body_timeout:g} s"
    taken = bytearray()
    async with aclosing(body_pieces(visit, lambda: asyncio.timeout_at(deadline), late)) as pieces:
        async for piece in pieces:
            taken += piece
            if len(taken) > limits.body_bytes:
                raise BodyTooLong(f"the body is longer than {limits.body_bytes} bytes")
    return bytes(taken)


async def body_pieces(visit: Visit, patience: Callable[[], asyncio.Timeout], late: str) -> AsyncGenerator[bytes, None]:
    """The body as it comes, asked for first if the client waits for that. `patience` bounds the wait for each piece,
    and `late` is told when it is over.

    Raises BodyTooSlow, RequestRefused (broken framing), ClientGone."""
    if visit.awaits_asking:
        visit.is_asked_on = True
        visit.connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    while True:
        try:
            async with patience():
                piece = await visit.request.content.readany()
        except TimeoutError:
            raise BodyTooSlow(late) from None
        except web.RequestPayloadError as error:
            raise RequestRefused("the body is not framed as HTTP wants it") from error
        except ConnectionError as error:
            raise ClientGone("the client left in the middle of its body") from error
        if not piece:
            return
        yield piece
