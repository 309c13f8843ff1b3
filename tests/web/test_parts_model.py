"""Parts that are asked for in any order, kept and put together, against bytes in memory (RFC 9110 §14, 9111 §3.4)."""

from __future__ import annotations

import random

import aiohttp
import pytest

from tests.kit.asking import Answer
from tests.kit.webnode import WebNode
from tests.kit.weborigin import Document, WebSite

MIB = 1024 * 1024
SIZES = (1, 700, MIB - 1, MIB, MIB + 1, 3 * MIB + 17)
ASKED = 40


def made(version: int, size: int) -> bytes:
    return random.Random(version).randbytes(size)


def asked_for(chance: random.Random, size: int) -> tuple[str, int, int]:
    """A Range field and the bytes that the model says it means: from, to. None of them (0, 0) is a 416."""
    first = chance.choice([chance.randrange(size), chance.randrange(2 * size), 0, size - 1, size])
    last = first + chance.choice([0, 1, 999, MIB - 1, MIB, 2 * size])
    field, start, stop = chance.choice(
        [
            (f"bytes={first}-{last}", first, min(last + 1, size)),
            (f"bytes={first}-", first, size),
            (f"bytes=-{last}", max(0, size - last), size),
        ]
    )
    return (field, start, stop) if start < stop else (field, 0, 0)


def judge(answer: Answer, field: str, start: int, stop: int, contents: dict[str, bytes]) -> None:
    """It is what the model says of the one version whose tag it has."""
    content = contents[answer.headers["ETag"]]
    if start == stop:
        assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{len(content)}"), field
        return
    assert answer.status == 206, field
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(content)}"
    assert answer.body == content[start:stop], field


@pytest.mark.parametrize("size", SIZES)
async def test_9110_14_parts_in_any_order_are_those_of_the_bytes(site: WebSite, node: WebNode, size: int) -> None:
    chance = random.Random(size)
    site.at("/a", Document(made(1, size)))
    for _ in range(ASKED):
        field, start, stop = asked_for(chance, size)
        judge(await node.get("/a", range=field), field, start, stop, {'"v1"': made(1, size)})
    assert (await node.get("/a")).body == made(1, size)


@pytest.mark.parametrize("seed", range(4))
async def test_9111_3_4_parts_of_two_versions_are_never_put_together(site: WebSite, node: WebNode, seed: int) -> None:
    chance, size = random.Random(seed), 3 * MIB + 17
    contents = {'"v1"': made(1, size)}
    document = Document(contents['"v1"'])
    site.at("/a", document)
    for step in range(ASKED):
        if step % 10 == 9:
            document.etag = f'"v{step}"'
            document.content = contents[document.etag] = made(step, size)
        if chance.random() < 0.1:
            await node.operate("void", target="/a")
        field, start, stop = asked_for(chance, size)
        try:
            answer = await node.get("/a", range=field)
        except aiohttp.ClientPayloadError:  # the other version was met in the middle: cut, and right at the second try
            answer = await node.get("/a", range=field)
        judge(answer, field, start, stop, contents)
    await node.operate("void", target="/a")
    whole = await node.get("/a")
    assert whole.body == contents[whole.headers["ETag"]]
