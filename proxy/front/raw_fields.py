"""Fields of an answer that are no UTF-8: allowed (RFC 9110 §5.5, obs-text), and to be passed on to the byte."""

from __future__ import annotations

from aiohttp import web
from aiohttp.http import StreamWriter

from proxy.rfc9111.fields import is_text


async def prepare_raw(response: web.StreamResponse, request: web.BaseRequest) -> None:
    """As `response.prepare`, with the bytes that its fields came with.

    aiohttp leaves out what cannot be written as UTF-8. So its head is held back, written anew once aiohttp has looked
    that no value holds a line end, and sent when it would have been."""
    if all(map(is_text, response.headers.values())):
        await response.prepare(request)
        return
    goes_first = response._send_headers_immediately
    response._send_headers_immediately = False
    writer = await response.prepare(request)
    assert isinstance(writer, StreamWriter), "an answer is prepared once, for a client who is there"
    assert writer._headers_buf is not None, "the head was held back"
    first = writer._headers_buf.partition(b"\r\n")[0]
    lines = [f"{name}: {text}".encode("utf-8", "surrogateescape") for name, text in response.headers.items()]
    writer._headers_buf = b"\r\n".join([first, *lines, b"", b""])
    if goes_first:
        writer.send_headers()
