"""Fields of an answer as its origin gave them: to the byte, also what is no UTF-8 (RFC 9110 §5.5, obs-text), and no
Content-Type where there was none, for that is the recipient's to guess (§8.3)."""

from __future__ import annotations

from aiohttp import web
from aiohttp.http import StreamWriter

from proxy.rfc9111.fields import is_text


async def prepare_raw(response: web.StreamResponse, request: web.BaseRequest) -> None:
    """As `response.prepare`, with the fields that it has, as they came.

    aiohttp leaves out what cannot be written as UTF-8, and adds a Content-Type. So its head is held back, written anew
    once aiohttp has looked that no value holds a line end, and sent when it would have been."""
    is_typed = "Content-Type" in response.headers
    if is_typed and all(map(is_text, response.headers.values())):
        await response.prepare(request)
        return
    goes_first = response._send_headers_immediately
    response._send_headers_immediately = False
    writer = await response.prepare(request)
    assert isinstance(writer, StreamWriter), "an answer is prepared once, for a client who is there"
    assert writer._headers_buf is not None, "the head was held back"
    if not is_typed:
        response.headers.popall("Content-Type", None)
    first = writer._headers_buf.partition(b"\r\n")[0]
    lines = [f"{name}: {text}".encode("utf-8", "surrogateescape") for name, text in response.headers.items()]
    writer._headers_buf = b"\r\n".join([first, *lines, b"", b""])
    if goes_first:
        writer.send_headers()
