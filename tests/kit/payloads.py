"""What two parsers could read in two ways, or one could choke on: a table of requests as bytes, a row per payload.

Seven classes: transfer codings, lengths, chunks, request lines, paths, hosts, fields. Every row is one request and is
refused (400, and the connection ends), unless it stands in `TAKEN`, with the reason why no harm is in it. A row says
what differs; the request around it is an ordinary one to a plane's own address.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

HOST = b"Host: m\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
ONE = b"5\r\nhello\r\n"
END = b"0\r\n\r\n"


Answers = frozenset[tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Plane:
    """Addresses of a kind of origin: of something to GET, of something that takes any POST with these fields, and where
    any path may be."""

    get: bytes
    post: bytes
    fields: bytes
    below: bytes
    taken: Mapping[tuple[str, str], Answers] = field(default_factory=dict)
    """Where this plane answers otherwise than others."""


@dataclass(frozen=True, slots=True)
class Payload:
    """One row. `answers` to it and to an ordinary request behind it, before the connection ends: any of these rows of
    statuses."""

    kind: str
    name: str
    raw: bytes
    answers: Answers


BEHIND = b"GET /-/livez HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n"
"""An ordinary request behind the bad one, which is answered only if that one was not refused."""
KINDS = ("coding", "length", "chunk", "line", "path", "host", "field")


def payloads(plane: Plane) -> Iterator[Payload]:
    """Every row of the table, for this plane."""
    for kind, name, raw in _requests(plane):
        yield Payload(kind, name, raw, ({**TAKEN, **plane.taken}).get((kind, name), REFUSED))


def _requests(plane: Plane) -> Iterator[tuple[str, str, bytes]]:
    head = b"POST " + plane.post + b" HTTP/1.1\r\n" + HOST + plane.fields
    for name, fields in CODINGS.items():
        yield ("coding", name, head + fields + b"\r\n" + ONE + END)
    yield ("coding", "in HTTP/1.0", head.replace(b"HTTP/1.1", b"HTTP/1.0") + CHUNKED + b"\r\n" + ONE + END)
    for name, fields in LENGTHS.items():
        yield ("length", name, head + fields + b"\r\nhello")
    for name, body in CHUNKS.items():
        yield ("chunk", name, head + CHUNKED + b"\r\n" + body)
    for name, line in LINES.items():
        yield ("line", name, line.replace(b"@", plane.get) + b"\r\n" + HOST + b"\r\n")
    for name, path in PATHS.items():
        yield ("path", name, b"GET " + plane.below + path + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    for name, fields in HOSTS.items():
        yield ("host", name, b"GET " + plane.get + b" HTTP/1.1\r\n" + fields + b"\r\n")
    for name, fields in FIELDS.items():
        yield ("field", name, b"GET " + plane.get + b" HTTP/1.1\r\n" + HOST + fields + b"\r\n")


def surprises(table: Sequence[Payload], said: Sequence[tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The rows that were answered otherwise than they should be, with the answers."""
    return {row.name: answers for row, answers in zip(table, said, strict=True) if answers not in row.answers}


CODINGS: Mapping[str, bytes] = {
    "length before it": b"Content-Length: 3\r\n" + CHUNKED,
    "length behind it": CHUNKED + b"Content-Length: 3\r\n",
    "length of zero": b"Content-Length: 0\r\n" + CHUNKED,
    "twice in two fields": CHUNKED + CHUNKED,
    "twice in one field": b"Transfer-Encoding: chunked, chunked\r\n",
    "identity in another field": CHUNKED + b"Transfer-Encoding: identity\r\n",
    "identity alone": b"Transfer-Encoding: identity\r\n",
    "identity behind it": b"Transfer-Encoding: chunked, identity\r\n",
    "identity before it": b"Transfer-Encoding: identity, chunked\r\n",
    "gzip before it": b"Transfer-Encoding: gzip, chunked\r\n",
    "gzip behind it": b"Transfer-Encoding: chunked, gzip\r\n",
    "gzip alone": b"Transfer-Encoding: gzip\r\n",
    "unknown": b"Transfer-Encoding: xchunked\r\n",
    "cut short": b"Transfer-Encoding: chunke\r\n",
    "parameter": b"Transfer-Encoding: chunked;q=1\r\n",
    "quoted": b'Transfer-Encoding: "chunked"\r\n',
    "empty": b"Transfer-Encoding:\r\n",
    "comma before it": b"Transfer-Encoding: ,chunked\r\n",
    "comma behind it": b"Transfer-Encoding: chunked,\r\n",
    "blank before colon": b"Transfer-Encoding : chunked\r\n",
    "tab before colon": b"Transfer-Encoding\t: chunked\r\n",
    "blank before name": b" Transfer-Encoding: chunked\r\n",
    "folded": b"Transfer-Encoding:\r\n chunked\r\n",
    "vertical tab before it": b"Transfer-Encoding: \x0bchunked\r\n",
    "form feed behind it": b"Transfer-Encoding: chunked\x0c\r\n",
    "nul behind it": b"Transfer-Encoding: chunked\x00\r\n",
    "high byte before it": b"Transfer-Encoding: \xffchunked\r\n",
    "no-break space behind it": b"Transfer-Encoding: chunked\xa0\r\n",
    "behind a bare return": b"X: y\rTransfer-Encoding: chunked\r\n",
    "behind a bare line feed": b"X: y\nTransfer-Encoding: chunked\r\n",
    "name with a high byte": b"Transfer\xadEncoding: chunked\r\nContent-Length: 15\r\n",
    "name with a nul": b"Transfer-Encoding\x00: chunked\r\n",
    "dotless k in it": b"Transfer-Encoding: chun\xc4\xb8ed\r\n",
    "underscore in the name": b"Transfer_Encoding: chunked\r\nContent-Length: 15\r\n",
    "capitals": b"Transfer-Encoding: CHUNKED\r\n",
    "tab before it": b"Transfer-Encoding:\tchunked\r\n",
}

LENGTHS: Mapping[str, bytes] = {
    "twice, alike": b"Content-Length: 5\r\nContent-Length: 5\r\n",
    "twice, unlike": b"Content-Length: 5\r\nContent-Length: 0\r\n",
    "list, alike": b"Content-Length: 5, 5\r\n",
    "list, unlike": b"Content-Length: 5, 6\r\n",
    "list without blank": b"Content-Length: 5,5\r\n",
    "plus": b"Content-Length: +5\r\n",
    "minus": b"Content-Length: -5\r\n",
    "minus zero": b"Content-Length: -0\r\n",
    "hexadecimal": b"Content-Length: 0x5\r\n",
    "fraction": b"Content-Length: 5.0\r\n",
    "exponent": b"Content-Length: 5e0\r\n",
    "underscore": b"Content-Length: 0_5\r\n",
    "blank inside": b"Content-Length: 0 5\r\n",
    "words behind it": b"Content-Length: 5 bytes\r\n",
    "empty": b"Content-Length:\r\n",
    "blanks alone": b"Content-Length:  \r\n",
    "beyond 64 bits": b"Content-Length: 18446744073709551621\r\n",
    "beyond everything": b"Content-Length: " + b"9" * 400 + b"\r\n",
    "full-width digit": b"Content-Length: \xef\xbc\x95\r\n",
    "arabic digit": b"Content-Length: \xd9\xa5\r\n",
    "vertical tab": b"Content-Length: \x0b5\r\n",
    "nul behind it": b"Content-Length: 5\x00\r\n",
    "blank before colon": b"Content-Length : 5\r\n",
    "blank before name": b" Content-Length: 5\r\n",
    "folded": b"Content-Length:\r\n 5\r\n",
    "behind a bare return": b"X: y\rContent-Length: 5\r\n",
    "quoted": b'Content-Length: "5"\r\n',
    "zeros before it": b"Content-Length: 0005\r\n",
    "tab before it": b"Content-Length:\t5\r\n",
}

CHUNKS: Mapping[str, bytes] = {
    "hexadecimal mark": b"0x5\r\nhello\r\n" + END,
    "plus": b"+5\r\nhello\r\n" + END,
    "minus": b"-5\r\nhello\r\n" + END,
    "blank before it": b" 5\r\nhello\r\n" + END,
    "blank behind it": b"5 \r\nhello\r\n" + END,
    "tab behind it": b"5\t\r\nhello\r\n" + END,
    "no digit": b"g\r\nhello\r\n" + END,
    "nothing": b"\r\nhello\r\n" + END,
    "underscore": b"0_5\r\nhello\r\n" + END,
    "list": b"5,5\r\nhello\r\n" + END,
    "full-width digit": b"\xef\xbc\x95\r\nhello\r\n" + END,
    "nul behind it": b"5\x00\r\nhello\r\n" + END,
    "beyond 64 bits": b"10000000000000005\r\nhello\r\n" + END,
    "all ones and more": b"fffffffffffffffff\r\nhello\r\n" + END,
    "minus one in 64 bits": b"ffffffffffffffff\r\nhello\r\n" + END,
    "line feed alone": b"5\nhello\r\n" + END,
    "return alone": b"5\rhello\r\n" + END,
    "no end of the bytes": b"5\r\nhello" + END,
    "more bytes than said": b"5\r\nhelloXX\r\n" + END,
    "fewer bytes than said": b"7\r\nhello\r\n" + END,
    "line feed behind the bytes": b"5\r\nhello\n" + END,
    "extension with a line feed": b"5;a\nb\r\nhello\r\n" + END,
    "extension with a return": b"5;a\rb\r\nhello\r\n" + END,
    "extension with a nul": b"5;a\x00\r\nhello\r\n" + END,
    "extension cut by a line feed": b"5;\nxx\r\nhello\r\n" + END,
    "quoted extension over two lines": b'5;a="\r\n"\r\nhello\r\n' + END,
    "extension without a name": b"5;\r\nhello\r\n" + END,
    "long extension": b"5;a=" + b"x" * 70_000 + b"\r\nhello\r\n" + END,
    "last one with a line feed": ONE + b"0\n\r\n",
    "end with a line feed": ONE + b"0\r\n\n",
    "trailer that frames": ONE + b"0\r\nContent-Length: 5\r\n\r\n",
    "trailer that codes": ONE + b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "trailer that is a host": ONE + b"0\r\nHost: evil\r\n\r\n",
    "trailer without a colon": ONE + b"0\r\nnonsense\r\n\r\n",
    "trailer that is folded": ONE + b"0\r\nX: a\r\n b\r\n\r\n",
    "trailer with a line feed": ONE + b"0\r\nX: a\nY: b\r\n\r\n",
    "two ends": ONE + b"0\r\n0\r\n\r\n",
    "trailer": ONE + b"0\r\nX: y\r\n\r\n",
    "extension": b"5;a=b\r\nhello\r\n" + END,
    "zeros before it": b"0005\r\nhello\r\n" + END,
    "many zeros in the last one": ONE + b"00000\r\n\r\n",
}
# fmt: off
LINES: Mapping[str, bytes] = {
    "absolute": b"GET http://evil@ HTTP/1.1", "absolute with our host": b"GET http://m@ HTTP/1.1",
    "connect": b"CONNECT evil:443 HTTP/1.1", "connect to a path": b"CONNECT @ HTTP/1.1",
    "asterisk": b"GET * HTTP/1.1", "authority": b"GET evil:80 HTTP/1.1", "no slash": b"GET x HTTP/1.1",
    "fragment": b"GET @#a HTTP/1.1", "two blanks": b"GET  @ HTTP/1.1", "two blanks behind": b"GET @  HTTP/1.1",
    "tab": b"GET\t@ HTTP/1.1", "blank inside": b"GET @ x HTTP/1.1", "blank at the end": b"GET @ HTTP/1.1 ",
    "blank at the start": b" GET @ HTTP/1.1", "no version": b"GET @", "no path": b"GET HTTP/1.1",
    "version 0.9": b"GET @ HTTP/0.9", "version 1.2": b"GET @ HTTP/1.2", "version 2": b"GET @ HTTP/2",
    "version 2.0": b"GET @ HTTP/2.0", "version 1.10": b"GET @ HTTP/1.10", "version 1.": b"GET @ HTTP/1.",
    "version in small letters": b"GET @ http/1.1", "another protocol": b"GET @ RTSP/1.0", "ice": b"GET @ ICE/1.0",
    "method in small letters": b"get @ HTTP/1.1", "method with a byte": b"G\xc9T @ HTTP/1.1",
    "method with a colon": b"GET: @ HTTP/1.1", "no method": b"@ HTTP/1.1", "nul": b"GET @\x00 HTTP/1.1",
    "bare return": b"GET @\r HTTP/1.1", "vertical tab": b"GET\x0b@ HTTP/1.1", "bare line feed": b"GET @ HTTP/1.1\nX: y",
    "preface of http/2": b"PRI * HTTP/2.0\r\n\r\nSM", "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}
PATHS: Mapping[str, bytes] = {
    "dots": b"a/../b", "dots at the end": b"a/..", "dot": b"a/./b", "encoded dots": b"a/%2e%2e/b",
    "half encoded dots": b"a/.%2E/b", "dots and encoded slash": b"a/..%2fb", "dots and parameter": b"a/..;/b",
    "backslash": b"a\\b", "encoded backslash": b"a%5cb", "nul": b"a%00b", "return": b"a%0db", "line feed": b"a%0ab",
    "escape": b"a%1bb", "delete": b"a%7fb", "bad percent": b"a%zzb", "half a percent": b"a%4", "percent alone": b"a%",
    "overlong dot": b"a/%c0%ae%c0%ae/b", "overlong slash": b"a%c0%afb", "overlong nul": b"a%c0%80b",
    "surrogate": b"a%ed%a0%80b", "beyond unicode": b"a%f4%90%80%80b", "no utf-8": b"a%ffb", "raw byte": b"a\xffb",
    "raw utf-8": b"a\xc3\xa9b", "raw tab": b"a\tb", "raw quote and angle": b'a"<b',
    "long segment": b"a" * 5000 + b"/b", "long target": b"a/" * 9000 + b"b",
    "encoded twice": b"a%25c0%25ae", "question in the query": b"a?b?c",
}
HOSTS: Mapping[str, bytes] = {
    "none": b"X: y\r\n", "two": HOST + HOST, "two, unlike": HOST + b"Host: evil\r\n", "empty": b"Host:\r\n",
    "blank": b"Host: h evil\r\n", "user": b"Host: h@evil\r\n", "path": b"Host: evil/x?\r\n",
    "list": b"Host: m, evil\r\n", "port beyond": b"Host: h:99999\r\n", "port of letters": b"Host: h:http\r\n",
    "two ports": b"Host: h:80:81\r\n", "fragment": b"Host: h#\r\n", "backslash": b"Host: h\\evil\r\n",
    "percent": b"Host: h%00\r\n", "high byte": b"Host: h\xe9\r\n", "half an address": b"Host: [::1\r\n",
    "long": b"Host: " + b"h" * 300 + b"\r\n", "absolute": b"Host: http://m\r\n",
}
# fmt: on

FIELDS: Mapping[str, bytes] = {
    "folded": b"X: a\r\n b\r\n",
    "folded first": b" X: a\r\n",
    "no colon": b"nonsense\r\n",
    "no name": b": y\r\n",
    "blank in the name": b"X Y: z\r\n",
    "byte in the name": b"X\xe9: y\r\n",
    "bracket in the name": b"X(): y\r\n",
    "nul in the value": b"X: a\x00b\r\n",
    "return in the value": b"X: a\rb\r\n",
    "line feed in the value": b"X: a\nb\r\n",
    "escape in the value": b"X: a\x1bb\r\n",
    "too many": b"".join(b"X-%d: 1\r\n" % number for number in range(80)),
    "upgrade": b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "upgrade to one of several": b"Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n",
    "two ranges": b"Range: bytes=0-1\r\nRange: bytes=0-2\r\n",
    "two if-ranges": b'If-Range: "a"\r\nIf-Range: "b"\r\n',
    "two authorizations": b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
    "length on a get": b"Content-Length: 5\r\n\r\nhello",
    "coding on a get": CHUNKED + b"\r\n" + ONE + END,
    "line feed ends the head": b"X: y\n\n",
    "expectation in two": b"Expect: 100-continue\r\nExpect: x\r\n",
    "two types": b"Content-Type: a/b\r\nContent-Type: c/d\r\n",
    "unmet expectation": b"Expect: the-impossible\r\n",
    "very long": b"X: " + b"y" * 70_000 + b"\r\n",
}

REFUSED: Answers = frozenset({(400,)})
_ANSWERED: Answers = frozenset({(200, 200)})
_LAST: Answers = frozenset({(200,)})
_NOT_THERE: Answers = frozenset({(404, 200)})
TAKEN: Mapping[tuple[str, str], Answers] = {
    # proper HTTP, spelt seldom; what is chunked is the last of its connection
    ("coding", "capitals"): _LAST,
    ("coding", "tab before it"): _LAST,
    ("length", "zeros before it"): _ANSWERED,
    ("length", "tab before it"): _ANSWERED,
    ("chunk", "trailer"): _LAST,
    ("chunk", "trailer that is a host"): _LAST | REFUSED,  # read by nobody: what is behind it may be refused for it
    ("chunk", "trailer that frames"): _LAST | REFUSED,
    ("chunk", "trailer that codes"): _LAST | REFUSED,
    ("chunk", "extension"): _LAST,
    ("chunk", "long extension"): _LAST,  # within the limit of the body's time
    ("chunk", "zeros before it"): _LAST,
    ("chunk", "many zeros in the last one"): _LAST,
    # not the field that frames; nothing of a request goes on under another name than it came with
    ("coding", "underscore in the name"): _ANSWERED,
    # names like others: what is decoded once is never decoded again, and nothing here takes a parameter from a path
    ("path", "dots and parameter"): _NOT_THERE,
    ("path", "encoded twice"): _NOT_THERE,
    ("path", "raw quote and angle"): _NOT_THERE,
    ("path", "question in the query"): _NOT_THERE,
    # refused in a better word
    ("path", "long target"): frozenset({(431,)}),
    ("field", "very long"): frozenset({(431,)}),
    ("field", "unmet expectation"): frozenset({(417,)}),
    ("field", "expectation in two"): frozenset({(417,)}),
    # proper, and never complete
    ("chunk", "minus one in 64 bits"): frozenset({(408,), (413,)}),
}
"""What is not answered with 400, and with what instead."""
