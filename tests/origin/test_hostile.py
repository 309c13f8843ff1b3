"""The table of what no origin should say, on a raw socket: refused, and nothing of it is left for the next answer."""

from __future__ import annotations

import contextlib

import pytest

from proxy.core.caller import ANONYMOUS
from proxy.core.errors import OriginLied, OriginUnreachable
from proxy.core.spans import Span
from proxy.origin.head import LARGEST, Head
from tests.kit.hostile import BENIGN, PLANTED, Honest, lies
from tests.origin.liar import CONTENT, Asked, Liar, Said, Script, client_of, config, gather, honest_store, stage, taken

WANTED = Span(1000, 5000)
HONEST = Honest(
    b"HTTP/1.1 206 Partial Content", b'Content-Range: bytes 1000-4999/10000\r\nETag: "v1"\r\n', CONTENT[1000:5000]
)
LIES = lies(HONEST)
UNENDED = frozenset(
    {
        *("no last chunk", "half a last chunk", "no last chunk, another answer"),
        *("trailer that frames", "trailer that never ends"),
    }
)
"""No harm to a range, of which it is known beforehand how many bytes it has."""
BY_AIOHTTP = frozenset({"folded field", "line feeds alone"})
"""RFC 9112 §2.2 and §5.2 let a recipient take them: aiohttp's parser does, ours does not."""
LEFT_OVER = ("answer behind the answer", "bytes behind the answer", "body of a 204", "body of a 304")
REPLY = Honest(b"HTTP/1.1 200 OK", b"Content-Type: application/json\r\n", b'{"id":"acme/tiny"}')


@pytest.mark.parametrize("name", sorted(LIES.keys() - BENIGN - UNENDED))
async def test_a_range_that_is_a_lie_is_refused_and_what_came_before_it_is_right(name: str) -> None:
    """On a connection of our own."""
    async with stage(lambda _: Said(LIES[name], "close"), retries=1, read_timeout=5) as on:
        got = bytearray()
        with pytest.raises((OriginLied, OriginUnreachable)):
            await gather(on.source(), WANTED, got)
    assert HONEST.body.startswith(bytes(got))


@pytest.mark.parametrize("name", sorted(LIES.keys() - BENIGN - BY_AIOHTTP))
async def test_a_reply_that_is_a_lie_is_refused(name: str) -> None:
    """On a connection of aiohttp's."""
    said = Said(lies(REPLY)[name], "close")
    async with Liar.open(lambda _: said) as hub, client_of(config(hub, retries=1, read_timeout=5)) as client:
        with pytest.raises((OriginLied, OriginUnreachable)):
            await client.call("GET", "/api/x", ANONYMOUS)


@pytest.mark.parametrize("name", sorted(BENIGN | UNENDED))
async def test_what_is_only_odd_gives_the_right_bytes_or_none(name: str) -> None:
    async with stage(lambda _: Said(LIES[name], "close"), retries=1) as on:
        got = bytearray()
        with contextlib.suppress(OriginLied, OriginUnreachable):
            await gather(on.source(), WANTED, got)
            assert bytes(got) == HONEST.body
    assert HONEST.body.startswith(bytes(got))


@pytest.mark.parametrize("name", sorted(BY_AIOHTTP))
async def test_what_aiohttp_takes_in_addition_is_the_right_reply(name: str) -> None:
    said = Said(lies(REPLY)[name], "close")
    async with Liar.open(lambda _: said) as hub, client_of(config(hub, retries=1, read_timeout=5)) as client:
        assert (await client.call("GET", "/api/x", ANONYMOUS)).body == REPLY.body


@pytest.mark.parametrize("name", LEFT_OVER)
async def test_nothing_behind_an_answer_is_taken_for_the_next(name: str) -> None:
    async with stage(then_honest(LIES[name])) as on:
        first = bytearray()
        try:
            await gather(on.source(), WANTED, first)
        except (OriginLied, OriginUnreachable):
            assert PLANTED not in first
        for _ in range(3):
            assert await taken(on.source(), WANTED) == HONEST.body


async def test_a_trailer_is_no_field_of_the_next_answer() -> None:
    trailer = HONEST.chunks(end=b"0\r\nETag: planted\r\n\r\n")
    async with stage(lambda _: Said(trailer)) as on:
        for _ in range(3):
            assert await taken(on.source(), WANTED) == HONEST.body


async def test_a_trailer_is_no_field_of_the_next_reply() -> None:
    """The same on a connection that is used again."""
    trailer = REPLY.chunks(end=b"0\r\nX-Error-Code: planted\r\n\r\n")
    async with Liar.open(lambda _: Said(trailer)) as hub, client_of(config(hub)) as client:
        for _ in range(3):
            reply = await client.call("GET", "/api/x", ANONYMOUS)
            assert reply.body == REPLY.body
            assert "planted" not in str(reply.headers)
        assert hub.connections == 1


def test_the_table_has_the_rows_it_speaks_of() -> None:
    assert LIES.keys() >= BENIGN | UNENDED | BY_AIOHTTP | set(LEFT_OVER)
    assert len(LIES) >= 70


@pytest.mark.parametrize("name", ["", "content-length ", "x\ty", "é", "a:b", "x\x00"])
def test_a_field_whose_name_is_none_is_refused(name: str) -> None:
    with pytest.raises(OriginLied):
        Head.of(200, [(name, "x")])


def test_a_head_has_a_largest_size() -> None:
    Head.of(200, [("x", "y" * (LARGEST - 1))])
    with pytest.raises(OriginLied):
        Head.of(200, [("x", "y" * (LARGEST - 1)), ("z", "")])


@pytest.mark.parametrize(
    ("codings", "version"),
    [
        (("gzip",), (1, 1)),
        (("gzip, chunked",), (1, 1)),
        (("chunked", "chunked"), (1, 1)),
        (("chunked",), (1, 0)),
        ((), (2, 0)),
        ((), (0, 9)),
    ],
)
def test_a_body_whose_end_cannot_be_told_is_refused(codings: tuple[str, ...], version: tuple[int, int]) -> None:
    head = Head.of(200, [("Transfer-Encoding", coding) for coding in codings])
    with pytest.raises(OriginLied):
        head.framed_as(version)


@pytest.mark.parametrize("version", [(1, 0), (1, 1)])
def test_a_body_with_a_length_is_told_in_both_versions(version: tuple[int, int]) -> None:
    Head.of(200, [("Content-Length", "5")]).framed_as(version)


def then_honest(raw: bytes) -> Script:
    """A store that says `raw` first, on a connection that it keeps, and is honest then."""
    said = iter([raw])

    def script(asked: Asked) -> Said:
        first = next(said, None)
        return honest_store(asked) if first is None else Said(first)

    return script
