"""What is asked for in one request, and whether the answer is what it must be, head and body."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from bench.record import Check

from .catalogue import File
from .heads import Head
from .verify import Scrutiny, WrongByte, content_of
from .wire import Address, Enough

if TYPE_CHECKING:
    from .client import Shop

MOST_COLLECTED: Final = 64 << 20
"""Longest answer of the API that is kept in memory."""
_EXAMPLE: Final = 300
_SHA256: Final = re.compile(r'"([0-9a-f]{64})"')


class Unexpected(Exception):
    """An answer of another status, length, range or validator than it must have. `name` is the class of the failure."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `span` is half-open and becomes a Range; `enough`: the client leaves after so many bytes."""

    kind: str
    method: str
    target: str
    file: File | None = None
    span: tuple[int, int] | None = None
    if_range: str = ""
    enough: int | None = None

    def request(self, address: Address) -> bytes:
        name, port = address
        host = f"[{name}]" if ":" in name else name
        fields = f"Host: {host}:{port}\r\nUser-Agent: penstock-bench\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
        if self.span is not None:
            fields += f"Range: bytes={self.span[0]}-{self.span[1] - 1}\r\n"
        if self.if_range:
            fields += f"If-Range: {self.if_range}\r\n"
        return f"{self.method} {self.target} HTTP/1.1\r\n{fields}\r\n".encode("latin-1")

    def __str__(self) -> str:
        span = "" if self.span is None else f" bytes={self.span[0]}-{self.span[1] - 1}"
        return f"{self.method} {self.target}{span}"


class Collected:
    """Keeps the body of a 200; anything else is unexpected."""

    checked = 0
    looks = True

    def __init__(self) -> None:
        self.content = b""
        self._status = 0

    def begin(self, head: Head) -> None:
        self._status = head.status

    def take(self, received: memoryview) -> None:
        self.content += bytes(received)
        if len(self.content) > MOST_COLLECTED:
            raise Unexpected("too long", f"more than {MOST_COLLECTED} bytes")

    def rest(self, asked: Asked) -> Asked | None:
        """What to ask for when the answer broke off: all of it again."""
        self.content = b""
        return asked

    def finish(self) -> None:
        """Raises Unexpected."""
        if self._status != 200:
            raise Unexpected(f"status {self._status}", _shortened(self.content))


class BodyTaker:
    """Checks the answer about a file: the head against what was asked for, the body against what the file holds.

    `asked` None: a HEAD.
    """

    def __init__(self, shop: Shop, file: File, asked: Asked | None) -> None:
        self._shop = shop
        self._file = file
        self._asked = asked
        self._scrutiny: Scrutiny | None = None
        self._refusal: bytes | None = None
        self._status = 0
        self._taken = 0
        self._taken_before = 0
        """Of it, in answers before this one."""
        self._etag = ""
        self._hashed = False
        self._wrong: WrongByte | None = None
        self.looks = True

    @property
    def checked(self) -> int:
        return self._scrutiny.checked if self._scrutiny is not None else 0

    def begin(self, head: Head) -> None:
        """Raises Unexpected."""
        self._status = head.status
        wanted = 206 if self._asked is not None and self._asked.span is not None else 200
        if head.status != wanted:
            self._refusal = b""
            if head.status < 400:
                raise Unexpected(f"status {head.status}", f"not {wanted}; Location {head.fields.get('location')!r}")
            return
        start, stop = (self._asked and self._asked.span) or (0, self._file.size)
        self._check_head(head, start, stop)
        self._etag = head.fields.get("etag", "")
        if self._asked is None or self._scrutiny is not None:
            return
        digest = self._digest(head) if (start, stop) == (0, self._file.size) and self._asked.enough is None else None
        self._hashed = digest is not None
        content = content_of(self._file.seed, self._file.size)
        self._scrutiny = Scrutiny(self._shop.checker, content, start, self._shop.check, digest)
        self.looks = self._shop.check is not Check.NONE

    def take(self, received: memoryview) -> None:
        """Raises Enough."""
        if self._refusal is not None:
            self._refusal = (self._refusal + bytes(received[:_EXAMPLE]))[:_EXAMPLE]
            return
        assert self._scrutiny is not None, "a HEAD has no body"
        if self._wrong is None:
            try:
                self._scrutiny.take(received)
            except WrongByte as wrong:
                # A mirror may find out for itself and break off: only a body that ends cleanly has been delivered.
                self._wrong = wrong
        self._taken += len(received)
        if self._asked is not None and self._asked.enough is not None and self._taken >= self._asked.enough:
            raise Enough

    def rest(self, asked: Asked) -> Asked | None:
        """What to ask for when the answer to `asked` broke off: what has not come yet, if it is still the same file.
        None after a wrong byte: what came is worth nothing."""
        if self._wrong is not None:
            return None
        self._refusal = None
        if not self._taken:
            return asked
        start, stop = asked.span or (0, self._file.size)
        start += self._taken - self._taken_before
        self._taken_before = self._taken
        self._asked = replace(asked, kind="rest", span=(start, stop), if_range=self._etag)
        return self._asked

    def finish(self) -> None:
        """The answer is complete. Raises Unexpected, WrongByte."""
        if self._refusal is not None:
            raise Unexpected(f"status {self._status}", _shortened(self._refusal))
        if self._wrong is not None:
            raise self._wrong
        if self._scrutiny is not None:
            self._scrutiny.finish()
        if self._hashed:
            self._shop.hashed.add(self._file.seed)
            self._shop.tally.totals.files_checked += 1

    def _check_head(self, head: Head, start: int, stop: int) -> None:
        fields = head.fields
        if fields.get("content-length") != str(stop - start):
            raise Unexpected("wrong length", f"Content-Length {fields.get('content-length')}, not {stop - start}")
        whole = f"bytes {start}-{stop - 1}/{self._file.size}"
        if head.status == 206 and fields.get("content-range") != whole:
            raise Unexpected("wrong range", f"Content-Range {fields.get('content-range')!r}, not {whole!r}")
        etag = fields.get("etag", "")
        if self._shop.etags.setdefault(self._file.seed, etag) != etag:
            raise Unexpected("wrong validator", f"ETag {etag}, before it was {self._shop.etags[self._file.seed]}")

    def _digest(self, head: Head) -> str | None:
        """What the whole must hash to, if it shall be hashed: the tag of a linked file is its sha256."""
        seen = self._file.seed in self._shop.hashed and not self._shop.hash_again
        if self._shop.check is not Check.FULL or seen or not self._file.linked:
            return None
        match = _SHA256.fullmatch(head.fields.get("etag", ""))
        return match[1] if match else None


def _shortened(content: bytes) -> str:
    return content[:_EXAMPLE].decode("utf-8", "replace")
