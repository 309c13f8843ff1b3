"""A world of each kind of repo, a Hub that serves it, and a plain way to ask it exactly one thing."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from yarl import URL

from bench.hub.content import KIB, MIB
from bench.hub.server import SyntheticHub
from bench.hub.world import World
from tests.bench.hub.asking import Ask, Mint, Reply


@pytest.fixture
def world() -> World:
    world = World()
    world.add_user("alice", token="hf_alice")
    world.add_user("bob", token="hf_bob")
    tiny = world.add_model("acme/tiny")
    tiny.put_text("config.json", b'{"model_type": "tiny"}')
    tiny.put_text("sub dir/ünï c#de 100%+[x].txt", b"named awkwardly")
    tiny.put_text("empty.txt", b"")
    tiny.put_blob("model.safetensors", 3 * MIB + 17)
    tiny.commit("Upload model")
    for name, traits in (("acme/private", {"private": True}), ("acme/gated", {"gated": True})):
        repo = world.add_model(name, **traits)
        repo.put_text("config.json", b"{}")
        repo.put_blob("model.bin", 64 * KIB)
        repo.commit("Upload model")
        repo.grant("alice")
    return world


@pytest.fixture
async def hub(world: World) -> AsyncIterator[SyntheticHub]:
    async with SyntheticHub.open(world) as running:
        yield running


@pytest.fixture
async def ask(hub: SyntheticHub) -> AsyncIterator[Ask]:
    """`await ask("/acme/tiny/…")`: GET, or `method=`; absolute addresses go where they say."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def one(
            target: str, *, method: str = "GET", token: str = "", data: object = None, **headers: str
        ) -> Reply:
            address = URL(target if target.startswith("http") else hub.url + target, encoded=True)
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            if token:
                sent["Authorization"] = f"Bearer {token}"
            sent.setdefault("Accept-Encoding", "identity")
            async with session.request(method, address, headers=sent, data=data, allow_redirects=False) as response:
                return Reply(response.status, response.headers, await response.read())

        yield one


@pytest.fixture
def cdn_address(ask: Ask) -> Mint:
    """Mints a fresh CDN address of the 3 MiB model."""

    async def mint() -> str:
        return (await ask("/acme/tiny/resolve/main/model.safetensors"))["location"]

    return mint
