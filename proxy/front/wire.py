"""aiohttp's connection protocol, set up our way: limits, no access log, and refusals in our words."""

from __future__ import annotations

import asyncio
import logging

import orjson
from aiohttp import HttpVersion10, HttpVersion11, StreamReader, web
from aiohttp.web_protocol import _ErrInfo

from .gate import Gate
from .request_ids import request_id

log = logging.getLogger(__name__)

MOST_HEADERS = 64
_SPOKEN = (HttpVersion10, HttpVersion11)
_NEVER = 1e7
"""Seconds. The connection closes itself when it is idle: aiohttp does not see what the fast lane answers."""


class Wire(web.RequestHandler):
    """The parser of one connection."""

    __slots__ = ("_body",)

    def __init__(self, server: web.Server, gate: Gate) -> None:
        limits = gate.limits
        self._body: StreamReader | None = None
        """Of the request whose head came last."""
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=_NEVER,
            access_log=None,  # type: ignore[arg-type] # documented as the way to have none
            # the gate's limit on the whole head (431) comes first; a line alone cannot pass it
            max_line_size=limits.header_bytes,
            max_field_size=limits.header_bytes,
            max_headers=MOST_HEADERS,
            lingering_time=2.0,
            auto_decompress=False,
        )

    def data_received(self, data: bytes) -> None:
        """As aiohttp's, with two things mended.

        The C parser keeps the last trailer of a chunked body and takes it for a field of the next request: whoever
        shares a connection with others could put words into their mouths. So a chunked request is the last of its
        connection.

        When the framing breaks in the middle of a body, the error is queued behind the request and its reader
        forgotten, who would wait for the rest until the limit on the body's time. So the reader is told."""
        super().data_received(data)
        for at, (message, body) in enumerate(self._messages):
            if isinstance(message, _ErrInfo):
                self._break_off(self._body)
                return
            if message.version not in _SPOKEN:
                # Else the answer would be in that version too, which nobody here speaks (RFC 9110 §2.5).
                self._messages[at] = (_ErrInfo(400, ValueError("another version"), "another version of HTTP"), body)
                return
            if message.chunked:
                self._messages[at] = (message._replace(should_close=True), body)
            self._body = body

    def _break_off(self, body: StreamReader | None) -> None:
        if body is not None and not body.is_eof():
            body.set_exception(web.RequestPayloadError("the framing of the body broke"))
            body.feed_eof()  # nothing is left to wait for before the connection closes

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What cannot be framed never reaches the application: 400 and close, without aiohttp's traceback in the log
        and page in the answer."""
        if status == 500:
            log.error("request failed outside of the application", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("a part of an answer was sent already") from exc
        detail = "this is no HTTP request that can be read in one way only" if status == 400 else "something went wrong"
        problem = {"type": "about:blank", "title": "Bad Request" if status == 400 else "Error", "status": status}
        response = web.Response(
            status=status,
            body=orjson.dumps({**problem, "detail": detail}),
            headers={
                "Content-Type": "application/problem+json",
                "Server": "penstock",
                "X-Request-Id": request_id(None),
                "Cache-Status": "penstock",
            },
        )
        response.force_close()
        return response
