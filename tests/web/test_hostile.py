"""The table of what no origin should say, from a generic origin: no client gets it as an answer, and nothing of it is
kept."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import aiohttp
import pytest

from tests.kit.asking import Answer
from tests.kit.hostile import BENIGN, PLANTED, Honest, lies
from tests.kit.webnode import WebNode, web_node
from tests.origin.liar import Asked, Liar, Said, Script, answer

CHUNK = 1024 * 1024
FIELDS = b'Cache-Control: max-age=60\r\nETag: "v1"\r\n'
UNDELIMITED = frozenset({"no end but the connection's"})
"""A proper answer to one client, whose end nobody can tell from a cut: it is passed on and not kept."""
TAKEN = BENIGN | {"gzip", "gzip twice", "trailer that frames"}
"""Codings of the content are the business of its readers; trailers go no further than here."""
LATER = b"what is there by now"


def said_by(table: dict[str, bytes], honest: asyncio.Event) -> Script:
    """Each lie at a path of its own, and the truth when it is time."""

    def script(asked: Asked) -> Said:
        if honest.is_set():
            return answer("200 OK", (("Cache-Control", "max-age=60"),), LATER)
        return Said(table[asked.target.removeprefix("/").replace("_", " ")], "close")

    return script


async def got(node: WebNode, name: str) -> Answer | None:
    """The answer, if it came whole."""
    try:
        return await node.get("/" + name.replace(" ", "_"))
    except aiohttp.ClientError:
        return None


async def healed(node: WebNode, name: str) -> Answer | None:
    """What is there later: a long answer that was cut is taken up with what was announced, and given up when that has
    changed, so that it may take two tries."""
    return await got(node, name) or await got(node, name)


@pytest.mark.parametrize("size", [40, CHUNK + 1000], ids=["small", "large"])
async def test_a_lie_is_no_answer_and_is_not_kept(tmp_path: Path, size: int) -> None:
    honest = Honest(b"HTTP/1.1 200 OK", FIELDS, Random(size).randbytes(size))
    table = {name.replace("'", ""): raw for name, raw in lies(honest).items()}
    undelimited = {name.replace("'", "") for name in UNDELIMITED}
    honestly = asyncio.Event()
    async with Liar.open(said_by(table, honestly)) as origin, web_node(tmp_path, origin.url) as node:
        names = sorted(table)
        first = dict(zip(names, await asyncio.gather(*(got(node, name) for name in names)), strict=True))
        honestly.set()
        later = dict(zip(names, await asyncio.gather(*(healed(node, name) for name in names)), strict=True))
    for name, found in first.items():
        if found is not None and found.status < 500:
            assert found.status == 200, name
            assert name in TAKEN | undelimited, name
            assert honest.body.startswith(found.body), name
            assert name in undelimited or found.body == honest.body, name
    for name, found in later.items():
        assert found is not None, name
        assert PLANTED not in found.body, name
        kept = found.status == 200 and found.body == honest.body
        assert (kept and name in TAKEN) or found.body == LATER, (name, found.status, found.body[:100])
