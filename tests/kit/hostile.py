"""What an origin may say that is no proper answer: a table of answers as bytes, a row per lie (RELIABILITY §3.3).

Each is the answer to a request for some bytes; `line` and `fields` make it fit the plane that asks (a 206 with its
Content-Range, say). None of them may be given to a client as a whole, stored, or leave anything behind that is taken
for the answer to another request. But those in `BENIGN` say the right bytes in a way that nobody reads as others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_END = b"0\r\n\r\n"
PLANTED = b"planted"
"""In whatever stands behind an answer, for the next to find."""
_BEHIND = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n" + PLANTED


@dataclass(frozen=True, slots=True)
class Honest:
    """An answer that would be right: `line` is version, status and phrase, `fields` all but what frames the body."""

    line: bytes
    fields: bytes
    body: bytes

    @property
    def length(self) -> bytes:
        return b"Content-Length: %d\r\n" % len(self.body)

    def said(self) -> bytes:
        return self.with_fields(self.length)

    def with_fields(self, fields: bytes, body: bytes | None = None, line: bytes | None = None) -> bytes:
        head = b"%b\r\n%b%b\r\n" % (line or self.line, self.fields, fields)
        return head + (self.body if body is None else body)

    def chunks(self, size: bytes | None = None, end: bytes = _END) -> bytes:
        body = (b"%x" % len(self.body) if size is None else size) + b"\r\n" + self.body + b"\r\n" + end
        return self.with_fields(_CHUNKED, body)


def lies(honest: Honest) -> Mapping[str, bytes]:
    """Every row, by its name; the connection is closed behind each."""
    return {**_heads(honest), **_lengths(honest), **_chunks(honest), **_bodies(honest)}


def _heads(honest: Honest) -> dict[str, bytes]:
    line, body, length = honest.line, honest.body, honest.length
    code = line.split(b" ")[1]
    fields = {
        "nul in a field": b"X: a\0b\r\n",
        "return in a field": b"X: a\rb\r\n",
        "line without a colon": b"nonsense\r\n",
        "field without a name": b": x\r\n",
        "blank in a name": b"X Y: z\r\n",
        "folded field": b"X: a\r\n b\r\n",
        "blank before a colon": b"X : a\r\n",
        "field of 20 KB": b"X: " + b"y" * 20_000 + b"\r\n",
        "a thousand fields": b"X: y\r\n" * 1000,
        "megabyte of fields": b"".join(b"X-%d: %b\r\n" % (number, b"y" * 8000) for number in range(125)),
        "protocol of its own": b"Upgrade: own\r\nConnection: upgrade\r\n",
    }
    lines = {
        "no protocol": b"SSH-2.0-OpenSSH_9.2",
        "version 2.0": line.replace(b"HTTP/1.1", b"HTTP/2.0"),
        "version 1.10": line.replace(b"HTTP/1.1", b"HTTP/1.10"),
        "version in small letters": line.replace(b"HTTP", b"http"),
        "status 099": b"HTTP/1.1 099 Odd",
        "status 600": b"HTTP/1.1 600 Odd",
        "status 999": b"HTTP/1.1 999 Odd",
        "status of four digits": b"HTTP/1.1 2006 Odd",
        "status of two digits": b"HTTP/1.1 20 Odd",
        "negative status": b"HTTP/1.1 -200 Odd",
        "no status": b"HTTP/1.1 OK",
        "nul in the phrase": b"HTTP/1.1 %b O\0K" % code,
    }
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    return {
        **{name: honest.with_fields(given + length) for name, given in fields.items()},
        **{name: honest.with_fields(length, line=given) for name, given in lines.items()},
        "body alone": body,
        "nothing": b"",
        "half a head": line + b"\r\nContent-Le",
        "line feeds alone": honest.said().replace(b"\r\n", b"\n", honest.fields.count(b"\r\n") + 3),
        "interim answers without end": interim * 5000,
        "many interim answers": interim * 1000 + honest.said(),
        "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: own\r\nConnection: upgrade\r\n\r\n" + body,
    }


def _lengths(honest: Honest) -> dict[str, bytes]:
    size = len(honest.body)
    texts = {
        "length with a sign": b"+%d" % size,
        "negative length": b"-%d" % size,
        "hexadecimal length": b"0x%x" % size,
        "length with a fraction": b"%d.0" % size,
        "length in words": b"many",
        "empty length": b"",
        "length in a list": b"%d, %d" % (size, size),
        "length with a blank": b"%d 0" % size,
        "length beyond 64 bits": b"%d" % (2**64 + size),
        "length of 400 digits": b"9" * 400,
        "length in other digits": "".join(chr(0x0660 + int(digit)) for digit in str(size)).encode(),
        "length with an underscore": b"0_%d" % size,
    }
    return {
        **{name: honest.with_fields(b"Content-Length: %b\r\n" % text) for name, text in texts.items()},
        "two lengths": honest.with_fields(honest.length + b"Content-Length: 9\r\n"),
        "two lengths, the other first": honest.with_fields(b"Content-Length: 9\r\n" + honest.length),
        "the length twice": honest.with_fields(honest.length * 2),
        "length and chunks": honest.with_fields(honest.length + _CHUNKED, b"%x\r\n%b\r\n" % (size, honest.body) + _END),
        "blank before the colon of the length": honest.with_fields(b"Content-Length : %d\r\n" % size),
        "shorter than said": honest.with_fields(b"Content-Length: %d\r\n" % (size + 1)),
    }


def _chunks(honest: Honest) -> dict[str, bytes]:
    size = len(honest.body)
    sizes = {
        "chunk with a sign": b"+%x" % size,
        "negative chunk": b"-%x" % size,
        "chunk with a mark": b"0x%x" % size,
        "chunk with a blank before": b" %x" % size,
        "chunk beyond 64 bits": b"1%016x" % size,
        "chunk in words": b"many",
        "chunk without a size": b"",
        "chunk shorter than said": b"%x" % (size + 5),
        "chunk longer than said": b"%x" % (size - 5),
        "chunk with an underscore": b"0_%x" % size,
        "chunk with a nul": b"%x\0" % size,
    }
    return {
        **{name: honest.chunks(text) for name, text in sizes.items()},
        "no last chunk": honest.chunks(end=b""),
        "half a last chunk": honest.chunks(end=b"0\r\n"),
        "no last chunk, another answer": honest.chunks(end=_BEHIND),
        "coding nobody knows": honest.with_fields(b"Transfer-Encoding: own\r\n"),
        "chunks inside gzip": honest.with_fields(b"Transfer-Encoding: gzip, chunked\r\n", honest.chunks()),
        "chunked twice": honest.with_fields(_CHUNKED * 2, b"%x\r\n%b\r\n" % (size, honest.body) + _END),
        "trailer that frames": honest.chunks(end=b"0\r\nContent-Length: 7\r\n\r\n"),
        "trailer that never ends": honest.chunks(end=b"0\r\n" + b"X: y\r\n" * 5000),
    }


def _bodies(honest: Honest) -> dict[str, bytes]:
    return {
        "gzip": honest.with_fields(honest.length + b"Content-Encoding: gzip\r\n"),
        "gzip twice": honest.with_fields(honest.length + b"Content-Encoding: gzip, gzip\r\n"),
        "body of a 204": b"HTTP/1.1 204 No Content\r\n" + honest.length + b"\r\n" + honest.body,
        "body of a 304": b"HTTP/1.1 304 Not Modified\r\n" + honest.length + b"\r\n" + honest.body,
        "answer behind the answer": honest.said() + _BEHIND,
        "bytes behind the answer": honest.said() + PLANTED,
        "no end but the connection's": honest.with_fields(b"", honest.body[:-1]),
    }


BENIGN = frozenset(
    {
        "protocol of its own",  # an offer, and nobody asked for it
        "nul in the phrase",  # which goes no further
        "many interim answers",  # within the time of a head
        "the length twice",  # RFC 9110 §8.6: one length
        "length in a list",
        "answer behind the answer",  # whose connection is not used again
        "bytes behind the answer",
    }
)
"""Each may be taken too, with the right bytes."""
