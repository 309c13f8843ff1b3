"""Reading the small body of a request: bounded in size and in time."""

from __future__ import annotations

import asyncio

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
    if request.headers.get("Expect") is not None:
        visit.connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        async with asyncio.timeout(limits.body_timeout):
            return await _collect(request, limits.body_bytes)
    except TimeoutError:
        raise BodyTooSlow(f"the body was not complete within {limits.body_timeout:g} s") from None


async def _collect(request: web.BaseRequest, most: int) -> bytes:
    pieces = bytearray()
    try:
        async for piece in request.content.iter_any():
            pieces += piece
            if len(pieces) > most:
                raise BodyTooLong(f"the body is longer than {most} bytes")
    except web.RequestPayloadError as error:
        raise RequestRefused("the body is not framed as HTTP wants it") from error
    except ConnectionError as error:
        raise ClientGone("the client left in the middle of its body") from error
    return bytes(pieces)
