"""What clients say to a data port, byte by byte: plain, odd and malicious. For comparing two ports.

A conversation is a row of steps on one connection: some bytes, sent as one segment, and the methods of the requests
that are answered before the next is sent. It ends when the server ends it, or with a question that asks for that.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

PATIENCE = 20.0
"""Seconds after which an answer that does not come is missed."""
_GOODBYE = b"GET /-/livez HTTP/1.1\r\nHost: mirror.test\r\nConnection: close\r\n\r\n"
_VARYING = re.compile(r"\d{2}:\d{2}:\d{2}|\b[0-9a-f]{32}\b")
_BOUNDARY = re.compile(rb"(\r\n)?--[^\r\n]+(?=\r\n)")
_LONGEST_WORDS = 16 * 1024
"""Bytes of a body up to which it may be words of ours, with a time or an id in them."""


@dataclass(frozen=True, slots=True)
class Step:
    """`sent` is written at once; then `methods` are answered."""

    sent: bytes
    methods: tuple[str, ...] = ("GET",)


Conversation = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: its status line, its fields in their order, its body."""

    first: str
    fields: tuple[tuple[str, str], ...]
    body: bytes

    def field(self, name: str) -> str | None:
        return next((text for known, text in self.fields if known.lower() == name.lower()), None)

    def like(self) -> Answer:
        """Without what differs from one answer to the next: times, and ids that nobody chose."""
        fields = tuple((name, "" if name == "Age" else _VARYING.sub("*", text)) for name, text in self.fields)
        return Answer(self.first, fields, _in_words(self.body))


@dataclass(frozen=True, slots=True)
class Heard:
    """What came back in a conversation: `answers` to the steps, in order; `rest` is what came unasked, or broke off."""

    answers: tuple[Answer, ...]
    was_ended: bool
    """The server ended it before we asked it to."""
    rest: bytes = b""

    def like(self) -> Heard:
        return Heard(tuple(answer.like() for answer in self.answers), self.was_ended, _in_words(self.rest))


def _in_words(body: bytes) -> bytes:
    if len(body) > _LONGEST_WORDS:
        boundary = _BOUNDARY.match(body)
        return body if boundary is None else body.replace(boundary[0].strip(), b"--*")
    return _VARYING.sub("*", body.decode("latin-1")).encode("latin-1")


async def held(address: tuple[str, int], conversation: Conversation) -> Heard:
    """Have `conversation` with the port at `address`. Raises TimeoutError when an answer does not come."""
    reader, writer = await asyncio.open_connection(*address)
    answers: list[Answer] = []
    try:
        async with asyncio.timeout(PATIENCE):
            for step in conversation:
                writer.write(step.sent)
                for method in step.methods:
                    answers.append(await _answer(reader, method))
            writer.write(_GOODBYE)
            last = await _answer(reader, "GET")
            assert last.body == b"ok\n" or last.body, "livez was answered"
            return Heard(tuple(answers), False, await reader.read())
    except asyncio.IncompleteReadError as broken:
        return Heard(tuple(answers), True, broken.partial)
    except ConnectionError:
        return Heard(tuple(answers), True)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _answer(reader: asyncio.StreamReader, method: str) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head[:-4].split("\r\n")
    fields = tuple((name, text) for name, _, text in (line.partition(": ") for line in lines))
    empty = Answer(first, fields, b"")
    if method == "HEAD" or first.split(" ")[1] in ("304", "100"):
        return empty
    return Answer(first, fields, await reader.readexactly(int(empty.field("Content-Length") or 0)))


def head(target: str, *fields: str, method: str = "GET", version: str = "HTTP/1.1", host: str = "mirror.test") -> bytes:
    """A request head with a Host field before `fields`."""
    return "\r\n".join([f"{method} {target} {version}", f"Host: {host}", *fields, "", ""]).encode()


def asked(target: str, *fields: str, method: str = "GET", **words: str) -> Step:
    """One plain step: one request, one answer."""
    return Step(head(target, *fields, method=method, **words), (method,))


LARGE_RANGES = (
    "bytes=0-",
    "bytes=0-0",
    "bytes=1-40000",
    "bytes=5-1200000",
    "bytes=1048570-1048580",
    "bytes=1048576-99999999",
    "bytes=-5",
    "bytes=-99999999",
    "bytes=7-8,9-10",
    "bytes=7-8,999999-",
    "bytes=9-10,3-4",
    "bytes=99999999-",
    "bytes=5-4",
    "bytes=a-b",
    "lines=0-1",
)
"""Of a file of some MiB: single ones, and what is none."""


@dataclass(frozen=True, slots=True)
class Hot:
    """Targets of which a mirror has all: a small file at a commit, a large one, and the small one at a branch."""

    small: str
    large: str
    branch: str
    etag: str
    """Of the small one, with its quotes."""

    @property
    def plain(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """Method, target and fields of what the fast lane answers."""
        return [
            ("GET", self.small, ()),
            ("HEAD", self.small, ()),
            ("HEAD", self.large, ()),
            ("GET", self.branch, ()),
            ("HEAD", self.branch, ()),
            ("GET", f"{self.small}?download=true", ()),
            ("GET", self.small, (f"If-None-Match: {self.etag}",)),
            ("HEAD", self.small, (f"If-None-Match: {self.etag}",)),
            ("GET", self.small, ('If-None-Match: "other"',)),
            ("GET", self.branch, (f"If-None-Match: {self.etag}",)),
            ("GET", self.small, ("User-Agent: hf_hub/1.2; python/3.11", "Accept: */*", "Accept-Encoding: identity")),
            ("GET", self.small, ("X-Request-Id: 0b1c-Mine", "Connection: keep-alive")),
            ("GET", self.small, ("X-Request-Id: no/good", "Connection: Keep-Alive")),
            ("GET", self.small, ("user-agent:   padded  ", "ACCEPT:*/*", "traceparent: 00-1-2-01")),
        ]


def plain(hot: Hot) -> Iterator[Conversation]:
    """What the fast lane is for: alone, after one another, and in turns with what is not for it."""
    for method, target, fields in hot.plain:
        yield (asked(target, *fields, method=method),)
    every = tuple(asked(target, *fields, method=method) for method, target, fields in hot.plain)
    yield every
    yield (*every[:3], asked(hot.small, "Range: bytes=1-3"), *every[3:], asked("/api/whoami-v2"), *every)


def large(hot: Hot) -> Iterator[Conversation]:
    """Of a large file all, none, and parts; alone, after one another, and with others behind them."""
    other = asked(hot.large, 'If-None-Match: "other"')
    ranges = [asked(hot.large, f"Range: {part}") for part in LARGE_RANGES]
    yield (asked(hot.large), other, asked(hot.large), asked(hot.large, 'If-Range: "x"', "Range: bytes=0-1"))
    for one in ranges:
        yield (one, one)
    yield (asked(hot.large), *ranges, asked(hot.small), *ranges)
    part, whole = head(hot.large, "Range: bytes=3-1500000"), head(hot.large)
    small, branch = head(hot.small), head(hot.branch, method="HEAD")
    yield (asked(hot.large, "Range: bytes=3-9"), Step(part), Step(part + small, ("GET", "GET")), Step(small))
    yield (asked(hot.large), Step(whole), Step(whole + part + branch, ("GET", "GET", "HEAD")), asked(hot.large))
    yield (Step(part), Step(part[:30], ()), Step(part[30:]), Step(part), asked(hot.small))


def odd(hot: Hot) -> Iterator[Conversation]:
    """What is allowed, and not plain; and what is neither."""
    target = hot.small
    for fields in _ODD_FIELDS:
        yield (asked(target, *fields),)
    yield (asked(target, f"If-None-Match: {hot.etag}", "Range: bytes=0-1"),)
    for version in ("HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 ", " HTTP/1.1", ""):
        yield (asked(target, version=version),)
    yield (asked(target, "Connection: keep-alive", version="HTTP/1.0"), asked(target))
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "GETT", "FOO"):
        yield (asked(target, method=method), asked(target))
    for other in _ODD_TARGETS:
        yield (asked(other.format(target=target)), asked(target))
    for host in ("", " ", "a b", "m:99999", "[::1]:80", "MIRROR.test:8080", "m/x", "m\tx"):
        yield (asked(target, host=host), asked(target))
    first = f"GET {target} HTTP/1.1\r\n"
    for raw in _ODD_HEADS:
        yield (Step((first + raw).encode("latin-1")), asked(target))
    for before in ("\r\n", "\r\n\r\n", "\n", " ", "\x00"):
        yield (Step(before.encode() + head(target)), asked(target))
    yield (asked(target, *(f"X-{number}: y" for number in range(70))), asked(target))
    yield (asked(target, *(f"Accept: a/{number}" for number in range(70))), asked(target))
    yield (asked(target, f"User-Agent: {'u' * 3000}"), asked(target))
    yield (asked(target, f"Accept: {'u' * 5000}"), asked(target))
    yield (asked(target, f"Accept: {'u' * 17000}"), asked(target))


def joined(hot: Hot) -> Iterator[Conversation]:
    """Requests that come together, in pieces, or hidden in one another."""
    one, two = head(hot.small), head(hot.branch, method="HEAD")
    cold = head(hot.small, "Range: bytes=0-1")
    yield (Step(one + one, ("GET", "GET")), asked(hot.small))
    yield (Step(one + two + cold + one, ("GET", "HEAD", "GET", "GET")), asked(hot.small))
    yield (Step(cold + one, ("GET", "GET")), asked(hot.small))
    yield (Step(one + one[:20]), Step(one[20:]), asked(hot.small))
    yield (Step(one * 40, ("GET",) * 40), asked(hot.small))
    yield (Step(one + b"\r\n"), asked(hot.small))
    yield (Step(one + b"GARBAGE\r\n\r\n", ("GET", "GET")), asked(hot.small))
    body = b"a" * 10
    yield (Step(head(hot.small, "Content-Length: 10") + body), asked(hot.small))
    for hiding in (
        "Content-Length: {}",
        "Content-Length: {0}\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked",
    ):
        fields = hiding.format(len(one))
        yield (Step(head(hot.small, fields)), Step(one), asked(hot.small))
        yield (Step(head(hot.small, fields, method="POST"), ("POST",)), Step(one), asked(hot.small))
        yield (Step(head(hot.small, fields, method="POST") + one, ("POST",)), asked(hot.small))
    pause = "POST /api/models/acme/tiny/paths-info/main HTTP/1.1\r\nHost: m\r\nContent-Type: application/json\r\n"
    text = b'{"paths": ["a"]}'
    posted = pause.encode() + b"Content-Length: %d\r\n\r\n" % len(text) + text
    yield (Step(posted, ("POST",)), asked(hot.small), asked(hot.small))
    for whole in (one, two):
        method = whole.split(b" ")[0].decode()
        for at in range(1, len(whole)):
            yield (Step(whole[:at], ()), Step(whole[at:], (method,)), asked(hot.small))
    drops = [Step(one[at : at + 1], ()) for at in range(len(one) - 1)]
    yield (*drops, Step(one[-1:]), asked(hot.small))


_ODD_FIELDS = (
    ("Authorization: Bearer hf_member",),
    ("Authorization: Bearer hf_stranger",),
    ("Authorization: Basic dXNlcjpoZl9tZW1iZXI=",),
    ("Authorization: Digest x",),
    ("Authorization:",),
    ("Authorization: Bearer a", "Authorization: Bearer b"),
    ("Range: bytes=0-3",),
    ("Range: bytes=-5",),
    ("Range: bytes=5-",),
    ("Range: bytes=0-1,4-5",),
    ("Range: bytes=999999-",),
    ("Range: lines=1-2",),
    ("Range: bytes=0-3", "Range: bytes=1-2"),
    ("Range: bytes=0-3", 'If-Range: "other"'),
    ('If-Match: "other"',),
    ("If-Match: *",),
    ("If-None-Match: *",),
    ("If-None-Match:",),
    ('If-None-Match: "a"', 'If-None-Match: "b"'),
    ("If-Modified-Since: Sat, 29 Oct 1994 19:43:31 GMT",),
    ("If-Unmodified-Since: Sat, 29 Oct 1994 19:43:31 GMT",),
    ("Connection: close",),
    ("Connection: keep-alive, close",),
    ("Connection: upgrade", "Upgrade: websocket"),
    ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
    ("Keep-Alive: timeout=5",),
    ("TE: trailers",),
    ("Expect: 100-continue",),
    ("Expect: something",),
    ("Content-Length: 0",),
    ("Content-Length: -1",),
    ("Content-Length: 0", "Content-Length: 0"),
    ("Content-Length: +0",),
    ("Transfer-Encoding: identity",),
    ("Transfer-Encoding: xchunked",),
    ("Host: second.test",),
    ("Cookie: token=1",),
    ("Accept: text/html", "Accept: */*"),
    ("User-Agent: a", "User-Agent: b"),
    ("X-Request-Id: a", "X-Request-Id: b"),
    ("X-Request-Id:",),
    ("Cache-Control: no-cache", "Pragma: no-cache"),
    ("X-Forwarded-For: 10.0.0.1", "Via: 1.1 a", "Forwarded: for=10.0.0.1"),
    ("X-Unheard-Of: 1",),
    ("User-Agent: caf\u00e9",),
    ("User-Agent: tab\there",),
)
_ODD_TARGETS = (
    "http://mirror.test{target}",
    "{target}#fragment",
    "/{target}",
    "{target}?",
    "{target}?a=b&c=%20",
    "{target}/",
    "{target}/..",
    "{target}%00",
    "{target}%2e",
    "{target}\u00e9",
    "{target}\x7f",
    "{target} x",
    "*",
    "mirror.test:443",
    "/",
    "/-/livez",
    "/acme/absent/resolve/main/config.json",
    "/../etc/passwd",
    "/" + "a" * 9000,
)
_ODD_HEADS = (
    "\r\n",
    "Host: m\n\n",
    "Host: m\n\r\n",
    "Host: m\r\nA\r\n\r\n",
    "Host: m\r\n: empty\r\n\r\n",
    "Host : m\r\n\r\n",
    "Host: m\r\n folded: 1\r\n\r\n",
    "Host: m\r\nAccept: a\r\n b\r\n\r\n",
    "Host: m\r\nAccept: a\x00b\r\n\r\n",
    "Host: m\r\nAccept: a\rb\r\n\r\n",
    "Host: m\r\nAccept: a\nb: c\r\n\r\n",
    "Host: m\r\nAcc ept: a\r\n\r\n",
    "Host: m\r\nAccept\x01: a\r\n\r\n",
    "Host: m\r\nTransfer-Encoding : chunked\r\n\r\n",
    "Host: m\r\nTransfer-Encoding\t:chunked\r\n\r\n",
    "Host: m\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
    "Host:\tm\r\nAccept:\t*/*\t\r\n\r\n",
    "Host: m \t \r\n\r\n",
    "HOST: m\r\nuser-AGENT: x\r\n\r\n",
)
