"""Where request heads begin and end in a stream of bytes: no parser, only boundaries, so that a clock can watch them.

Byte at a time equals all at once.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

_END: Final = b"\r\n\r\n"
_BODILESS: Final = (b"GET ", b"HEAD ")
_LONGEST_METHOD: Final = 5
_TWO_BLANKS: Final = b"  "


class HeadScanner:
    """Counts complete heads and the bytes of one that has begun.

    Bodies are not understood: after the head of anything but a GET or HEAD the scanner is blind until `resume()`.
    """

    __slots__ = ("_blind", "_first", "_in_line", "_length", "_tail", "is_loose")

    def __init__(self) -> None:
        self.is_loose = False
        """Whether two blanks stood side by side in a request line: one parser skips them, another ends the target
        there (RFC 9112 §3.2)."""
        self._first = b""
        self._in_line = True
        self._tail = b""
        self._length = 0
        self._blind = False

    def __repr__(self) -> str:
        return f"<HeadScanner {'blind' if self._blind else f'{self._length} bytes into a head'}>"

    @property
    def length(self) -> int:
        """Bytes of the head that has begun and is not complete; 0 between heads."""
        return self._length

    def resume(self) -> None:
        """The request with a body is over: what comes next is a head."""
        self._reset()
        self._blind = False

    def feed(self, arrived: bytes) -> tuple[int, int]:
        """How many heads were completed in `arrived`, and the length of the longest of them, finished or not."""
        completed = longest = position = 0
        while position < len(arrived) and not self._blind:
            if not self._length:
                position = _skip_blank(arrived, position)
                if position == len(arrived):
                    break
            stop = self._find_end(arrived, position)
            self._take(arrived, position, len(arrived) if stop is None else stop)
            longest = max(longest, self._length)
            if stop is None:
                break
            completed += 1
            self._blind = not self._first.startswith(_BODILESS)
            self._reset()
            position = stop
        return completed, longest

    def _find_end(self, arrived: bytes, start: int) -> int | None:
        """Where the head that is under way ends in `arrived` (behind its blank line)."""
        joint = self._tail + arrived[start : start + len(_END) - 1]
        if (at := joint.find(_END)) >= 0:
            return start + at + len(_END) - len(self._tail)
        at = arrived.find(_END, start)
        return None if at < 0 else at + len(_END)

    def _take(self, arrived: bytes, start: int, stop: int) -> None:
        self._length += stop - start
        if len(self._first) < _LONGEST_METHOD:
            self._first += arrived[start : min(stop, start + _LONGEST_METHOD - len(self._first))]
        if self._in_line:
            end = arrived.find(b"\r", start, stop)
            self.is_loose |= _TWO_BLANKS in self._tail[-1:] + arrived[start : stop if end < 0 else end]
            self._in_line = end < 0
        self._tail = (self._tail + arrived[max(start, stop - 3) : stop])[-3:]

    def _reset(self) -> None:
        self._first = self._tail = b""
        self._in_line = True
        self._length = 0


def _skip_blank(arrived: bytes, position: int) -> int:
    """RFC 9112 §2.2: empty lines before a request line are ignored."""
    while position < len(arrived) and arrived[position] in b"\r\n":
        position += 1
    return position


def farewell(status: HTTPStatus, *, request_id: str) -> bytes:
    """What is said to a head that was never parsed, before its connection is closed."""
    return (
        f"HTTP/1.1 {status:d} {status.phrase}\r\nServer: penstock\r\nX-Request-Id: {request_id}\r\n"
        "Cache-Status: penstock\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    ).encode()
