"""Heads of HTTP/1.1 answers as this client needs them, and bodies that come in chunks. Pure; knows no socket."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

LONGEST_HEAD = 64 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?")
_BODILESS = frozenset({204, 304})


class Malformed(Exception):
    """The peer does not speak HTTP/1.1 as we understand it; the text says what was wrong."""


@dataclass(frozen=True, slots=True)
class Head:
    """Status and fields (names in lower case; of a repeated field the last)."""

    status: int
    fields: Mapping[str, str]

    @property
    def keeps_alive(self) -> bool:
        return self.fields.get("connection", "").lower() != "close"

    def framing(self, *, to_head: bool) -> int | None:
        """Body bytes to come; None for a body in chunks. Raises Malformed, also for one that ends with the
        connection: how many bytes were promised could not be told."""
        if to_head or self.status in _BODILESS:
            return 0
        if "transfer-encoding" in self.fields:
            if self.fields["transfer-encoding"].lower() != "chunked":
                raise Malformed(f"Transfer-Encoding {self.fields['transfer-encoding']!r}")
            return None
        length = self.fields.get("content-length", "")
        if not length.isdecimal():
            raise Malformed(f"Content-Length {length!r}")
        return int(length)


def parse_head(head: bytes) -> Head:
    """`head` up to, and without, the empty line. Raises Malformed."""
    first, *rest = head.split(b"\r\n")
    match = _STATUS.fullmatch(first)
    if match is None:
        raise Malformed(f"status line {first[:80]!r}")
    fields = {}
    for line in rest:
        name, colon, value = line.partition(b":")
        if not colon:
            raise Malformed(f"field line {line[:80]!r}")
        fields[name.decode("latin-1").lower()] = value.strip(b" \t").decode("latin-1")
    return Head(int(match[1]), fields)


class _State(Enum):
    SIZE = "size"
    BODY = "body"
    BODY_END = "body end"
    TRAILER = "trailer"
    DONE = "done"


class Chunks:
    """Takes a body out of its chunks, however the pieces are cut (RFC 9112 §7.1)."""

    def __init__(self) -> None:
        self._state = _State.SIZE
        self._line = b""
        self._left = 0

    @property
    def done(self) -> bool:
        return self._state is _State.DONE

    def feed(self, received: memoryview) -> Iterator[memoryview]:
        """The body bytes in `received`. Raises Malformed, also for bytes behind the end."""
        while received:
            match self._state:
                case _State.BODY:
                    part, received = received[: self._left], received[self._left :]
                    self._left -= len(part)
                    if self._left == 0:
                        self._state = _State.BODY_END
                    yield part
                case _State.DONE:
                    raise Malformed("bytes behind the last chunk")
                case _:
                    received = self._feed_line(received)

    def _feed_line(self, received: memoryview) -> memoryview:
        whole = self._line + bytes(received[: LONGEST_HEAD - len(self._line)])
        line, end, _ = whole.partition(b"\r\n")
        if not end:
            if len(whole) >= LONGEST_HEAD:
                raise Malformed("a chunk's line without end")
            self._line = whole
            return received[len(received) :]
        rest = received[len(line) + 2 - len(self._line) :]
        self._line = b""
        self._line_ended(line)
        return rest

    def _line_ended(self, line: bytes) -> None:
        match self._state:
            case _State.SIZE:
                size = line.partition(b";")[0].strip()
                if re.fullmatch(rb"[0-9A-Fa-f]{1,15}", size) is None:
                    raise Malformed(f"chunk size {line[:40]!r}")
                self._left = int(size, 16)
                self._state = _State.BODY if self._left else _State.TRAILER
            case _State.BODY_END:
                if line:
                    raise Malformed("a chunk longer than its size")
                self._state = _State.SIZE
            case _State.TRAILER:
                if not line:
                    self._state = _State.DONE
            case _:
                raise AssertionError("a body has no lines")
