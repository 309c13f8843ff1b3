"""Where connections may go, by which parser answers are read, and through which proxy."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop
from aiohttp.abc import AbstractResolver, ResolveResult

from proxy.core.caller import ANONYMOUS
from proxy.core.errors import OriginLied, OriginUnreachable
from proxy.core.spans import Span
from proxy.origin.sessions import require_c_parser
from tests.origin.liar import (
    CONTENT,
    FACTS,
    TARGET,
    Asked,
    Liar,
    Said,
    answer,
    client_of,
    config,
    honest_store,
    hub_before,
    ranged,
    redirect,
    stage,
    taken,
)

WANTED = Span(0, 100)


class Names(AbstractResolver):
    """A resolver that says what a test tells it to, a different thing each time."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        address = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
        ]

    async def close(self) -> None:
        pass


def sent_to(place: str) -> Said:
    linked = (("X-Linked-Etag", f'"{FACTS.etag}"'), ("X-Linked-Size", str(FACTS.size)))
    return redirect(f"http://{place}/x?X-Amz-Signature=s3cr3t", fields=linked)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "10.0.0.1", "0.0.0.0"])
async def test_a_listed_name_at_a_private_address_is_never_connected_to(address: str) -> None:
    async with Liar.open(honest_store) as store, Liar.open(lambda _: sent_to(f"cdn.hf.co:{store.port}")) as hub:
        section = config(hub, f".hf.co:{store.port}", retries=0)
        async with client_of(section, resolver=Names(address)) as client:
            with pytest.raises(OriginLied, match="not a public address") as raised:
                await taken(client.source(TARGET, FACTS, ANONYMOUS), WANTED)
        assert store.connections == 0
        assert "s3cr3t" not in str(raised.value)


async def test_a_name_that_turns_private_after_the_first_look_is_not_connected_to() -> None:
    async with Liar.open(honest_store) as store, Liar.open(lambda _: sent_to(f"cdn.hf.co:{store.port}")) as hub:
        section = config(hub, f".hf.co:{store.port}", retries=1, connect_timeout=0.3)
        async with client_of(section, resolver=Names("192.0.2.1", "127.0.0.1")) as client:
            with pytest.raises((OriginLied, OriginUnreachable)):
                await taken(client.source(TARGET, FACTS, ANONYMOUS), WANTED)
        assert store.connections == 0


async def test_a_private_literal_that_is_listed_without_its_port_is_not_connected_to() -> None:
    async with Liar.open(honest_store) as store, Liar.open(lambda _: sent_to("127.0.0.1:80")) as hub:
        async with client_of(config(hub, "127.0.0.1", retries=0)) as client:
            with pytest.raises(OriginLied):
                await taken(client.source(TARGET, FACTS, ANONYMOUS), WANTED)
        assert store.connections == 0


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0177.0.0.1", "0", "localhost"),
        *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[fd00::1]", "[fe80::1]"),
        *("169.254.169.254", "10.0.0.1", "192.168.1.1", "100.64.0.1", "224.0.0.1", "255.255.255.255"),
    ],
)
async def test_a_private_address_is_refused_however_it_is_spelt(host: str) -> None:
    """Each is on the list by its name alone: that vouches for no private address behind it."""
    async with (
        Liar.open(lambda _: sent_to(host)) as hub,
        client_of(config(hub, host, retries=0, connect_timeout=2)) as client,
    ):
        with pytest.raises((OriginLied, OriginUnreachable)) as raised:
            await taken(client.source(TARGET, FACTS, ANONYMOUS), WANTED)
    assert isinstance(raised.value, OriginLied) or "no address is known" in str(raised.value)


async def test_private_addresses_are_connected_to_where_the_operator_allows_them() -> None:
    async with Liar.open(honest_store) as store, Liar.open(lambda _: sent_to(f"cdn.local:{store.port}")) as hub:
        section = config(hub, "cdn.local", allow_private=True)
        async with client_of(section, resolver=Names("127.0.0.1")) as client:
            assert await taken(client.source(TARGET, FACTS, ANONYMOUS), WANTED) == CONTENT[:100]


async def test_the_proxy_of_the_environment_is_used_unless_it_is_not_for_that_host() -> None:
    def through(asked: Asked) -> Said:
        return honest_store(asked) if asked.method == "GET" and asked.target.startswith("http://") else answer("400 No")

    async with Liar.open(through) as corporate, Liar.open(honest_store) as store, Liar.open(hub_before(store)) as hub:
        proxies = {"http": corporate.url, "no": hub.place}
        async with client_of(config(hub, store.place), proxies=proxies) as client:
            assert await taken(client.source(TARGET, FACTS, ANONYMOUS), WANTED) == CONTENT[:100]
        assert len(hub.asked) == 1
        assert [asked.target.startswith(f"{store.url}/blob") for asked in corporate.asked] == [True]
        assert store.connections == 0


async def test_a_proxy_is_not_asked_for_a_private_literal() -> None:
    async with Liar.open(honest_store) as corporate, Liar.open(lambda _: sent_to("169.254.169.254")) as hub:
        proxies = {"http": corporate.url, "no": hub.place}
        async with client_of(config(hub, "169.254.169.254", retries=0), proxies=proxies) as client:
            with pytest.raises(OriginLied):
                await taken(client.source(TARGET, FACTS, ANONYMOUS), WANTED)
        assert corporate.connections == 0


def test_the_c_parser_is_here() -> None:
    require_c_parser()


def test_a_start_without_the_c_parser_is_refused() -> None:
    program = "from proxy.origin.sessions import require_c_parser; require_c_parser()"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"AIOHTTP_NO_EXTENSIONS": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 1
    assert b"C parser is not loaded" in ended.stderr


def test_it_works_under_uvloop_too() -> None:
    async def story() -> None:
        async with stage() as on:
            assert await taken(on.source(), WANTED) == CONTENT[:100]
            on.store.script = lambda _: answer("206 Partial Content", ranged(Span(1, 101)), CONTENT[1:101])
            with pytest.raises(OriginLied):
                await taken(on.source(), WANTED)
        async with Liar.open(honest_store) as store, Liar.open(lambda _: sent_to(f"cdn.hf.co:{store.port}")) as hub:
            section = config(hub, f".hf.co:{store.port}", retries=0)
            async with client_of(section, resolver=Names("127.0.0.1")) as client:
                with pytest.raises(OriginLied, match="not a public address"):
                    await taken(client.source(TARGET, FACTS, ANONYMOUS), WANTED)
            assert store.connections == 0

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())
