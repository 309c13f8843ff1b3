"""Xet towards clients: files as if they were made of xorbs, computed from plain bytes (HUB-PROTOCOL §4). Pure.

    file   | piece 0 | piece 1 | … | piece 127 | piece 128 | …        128 KiB each, the last as long as it is
    xorb 0 [8 bytes, piece 0][8 bytes, piece 1] … [8 bytes, piece 127]
    xorb 1 [8 bytes, piece 128] …

A client asks which xorbs a range of a file is in (a reconstruction: terms, and where to fetch each), then fetches byte
ranges of those. In a xorb every piece has a header of 8 bytes: version, length as sent, compression (none), length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from proxy.core.sizes import KIB
from proxy.core.spans import Span

from .facts import FileFacts

PIECE: Final = 128 * KIB
PIECES: Final = 128
"""In one xorb."""
HEADER: Final = 8
XORB: Final = PIECE * PIECES
"""Bytes of a file in one xorb."""
_STRIDE: Final = HEADER + PIECE
UrlOf = Callable[[int], str]
"""The address of a xorb by its index."""


@dataclass(frozen=True, slots=True)
class Term:
    """Pieces `first` to (not including) `stop` of the xorb number `index`; `length` bytes of the file."""

    index: int
    first: int
    stop: int
    length: int


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """The terms that hold a span of a file, in order, and how far into the first term the span begins."""

    offset: int
    terms: tuple[Term, ...]


def is_advertised(facts: FileFacts, above: int | None) -> bool:
    """Whether clients are told to fetch this file by Xet: it has a hash and more than `above` bytes (None: never)."""
    return facts.xet is not None and above is not None and facts.size > above


def reconstruction(size: int, wanted: Span) -> Reconstruction:
    """What holds `wanted` (not empty, inside) of a file of `size` bytes, in whole pieces."""
    assert wanted, "an empty span has no terms"
    assert wanted.stop <= size, f"{wanted} is outside of {size} bytes"
    return Reconstruction(wanted.start % PIECE, tuple(_terms(size, wanted)))


def xorb_id(etag: str, index: int) -> str:
    """The name of a xorb, 64 hexadecimal digits: the same bytes have the same name wherever they are."""
    return sha256(f"{etag}/{index}".encode()).hexdigest()


def xorb_size(size: int, index: int) -> int:
    """Bytes of the xorb number `index` of a file of `size` bytes, headers included; 0 when there is no such xorb."""
    content = max(0, min(XORB, size - index * XORB))
    return content + _pieces_in(content) * HEADER


def wire_span(size: int, term: Term) -> Span:
    """Where the pieces of `term` lie in their xorb, headers included."""
    return Span(term.first * _STRIDE, min(term.stop * _STRIDE, xorb_size(size, term.index)))


def file_span(size: int, index: int, wire: Span) -> Span:
    """The bytes of the file in `wire` of a xorb; empty when there are headers only."""
    start, stop = (_file_offset(size, index, at) for at in (wire.start, wire.stop))
    return Span(start, stop)


def layout(size: int, index: int, wire: Span) -> Iterator[bytes | Span]:
    """What `wire` (inside the xorb) consists of, in order: parts of headers, and spans of the file."""
    at = wire.start
    while at < wire.stop:
        number, within = divmod(at, _STRIDE)
        end = min(wire.stop, (number + 1) * _STRIDE)
        piece = index * PIECES + number
        if within < HEADER:
            header = piece_header(min(PIECE, size - piece * PIECE))
            yield header[within : within + end - at]
            at = min(end, number * _STRIDE + HEADER)
        if at < end:
            start = piece * PIECE + at - number * _STRIDE - HEADER
            yield Span(start, start + end - at)
        at = end


def piece_header(length: int) -> bytes:
    """Before a piece of `length` bytes: version 0, length as sent, scheme 0 (not compressed), length."""
    three = length.to_bytes(3, "little")
    return b"\0" + three + b"\0" + three


def v2_body(etag: str, size: int, plan: Reconstruction, url_of: UrlOf) -> dict[str, Any]:
    """Chunk ranges are half-open, byte ranges inclusive: so it is upstream."""
    xorbs = {
        xorb_id(etag, term.index): [
            {"url": url_of(term.index), "ranges": [{"chunks": _chunks(term), "bytes": _bytes(size, term)}]}
        ]
        for term in plan.terms
    }
    return {**_terms_body(etag, plan), "xorbs": xorbs}


def v1_body(etag: str, size: int, plan: Reconstruction, url_of: UrlOf) -> dict[str, Any]:
    """As `v2_body`, in the words of older clients."""
    fetch_info = {
        xorb_id(etag, term.index): [
            {"range": _chunks(term), "url": url_of(term.index), "url_range": _bytes(size, term)}
        ]
        for term in plan.terms
    }
    return {**_terms_body(etag, plan), "fetch_info": fetch_info}


def _terms(size: int, wanted: Span) -> Iterator[Term]:
    start = wanted.start // PIECE * PIECE
    while start < wanted.stop:
        index = start // XORB
        stop = min((index + 1) * XORB, -(-wanted.stop // PIECE) * PIECE, size)
        base = index * XORB
        yield Term(index, (start - base) // PIECE, _pieces_in(stop - base), stop - start)
        start = stop


def _pieces_in(length: int) -> int:
    return -(-length // PIECE)


def _file_offset(size: int, index: int, at: int) -> int:
    number, within = divmod(at, _STRIDE)
    return min(size, (index * PIECES + number) * PIECE + max(0, within - HEADER))


def _terms_body(etag: str, plan: Reconstruction) -> dict[str, Any]:
    terms = [
        {"hash": xorb_id(etag, term.index), "unpacked_length": term.length, "range": _chunks(term)}
        for term in plan.terms
    ]
    return {"offset_into_first_range": plan.offset, "terms": terms}


def _chunks(term: Term) -> dict[str, int]:
    return {"start": term.first, "end": term.stop}


def _bytes(size: int, term: Term) -> dict[str, int]:
    span = wire_span(size, term)
    return {"start": span.start, "end": span.stop - 1}
