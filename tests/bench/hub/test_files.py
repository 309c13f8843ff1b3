"""The file plane on the wire: which hop says what."""

import gzip
import json

import aiohttp

from bench.hub.cdn import etag
from bench.hub.content import SyntheticBlob
from bench.hub.server import SyntheticHub
from bench.hub.world import GitFile, LfsFile, World
from tests.bench.hub.asking import Ask, Mint


def model(world: World) -> SyntheticBlob:
    file = world.repo("acme/tiny").file("model.safetensors")
    assert isinstance(file, LfsFile)
    assert isinstance(file.blob, SyntheticBlob)
    return file.blob


def config(world: World) -> GitFile:
    file = world.repo("acme/tiny").file("config.json")
    assert isinstance(file, GitFile)
    return file


async def test_a_small_file_is_redirected_relatively_and_without_an_etag(ask: Ask, world: World) -> None:
    first = await ask("/acme/tiny/resolve/main/config.json", method="HEAD")
    commit = world.repo("acme/tiny").head()
    assert first.status == 307
    assert first["location"].startswith(f"/api/resolve-cache/models/acme/tiny/{commit}/config.json?")
    assert f"etag=%22{config(world).oid}%22" in first["location"]
    assert first["x-repo-commit"] == commit
    assert "etag" not in first


async def test_resolve_cache_delivers_with_git_sha1_and_length(ask: Ask, world: World) -> None:
    location = (await ask("/acme/tiny/resolve/main/config.json"))["location"]
    for target in (location, location.partition("?")[0]):
        final = await ask(target)
        assert (final.status, final.body) == (200, config(world).content)
        assert final["etag"] == f'"{config(world).oid}"'
        assert final["content-length"] == str(config(world).size)
        assert final["x-repo-commit"] == world.repo("acme/tiny").head()


async def test_gzip_is_chunked_and_keeps_the_etag(ask: Ask, world: World) -> None:
    location = (await ask("/acme/tiny/resolve/main/config.json"))["location"]
    packed = await ask(location, Accept_Encoding="gzip, deflate")
    assert gzip.decompress(packed.body) == config(world).content
    assert packed["content-encoding"] == "gzip"
    assert packed["etag"] == f'"{config(world).oid}"'
    assert "content-length" not in packed


async def test_a_range_of_a_small_file_is_identity_even_when_gzip_is_welcome(ask: Ask, world: World) -> None:
    location = (await ask("/acme/tiny/resolve/main/config.json"))["location"]
    part = await ask(location, Range="bytes=2-5", Accept_Encoding="gzip")
    assert (part.status, part.body) == (206, config(world).content[2:6])
    assert part["content-range"] == f"bytes 2-5/{config(world).size}"
    beyond = await ask(location, Range="bytes=9999-")
    assert (beyond.status, beyond["content-range"]) == (416, f"bytes */{config(world).size}")


async def test_head_has_the_length_and_no_body(ask: Ask, world: World) -> None:
    location = (await ask("/acme/tiny/resolve/main/config.json"))["location"]
    head = await ask(location, method="HEAD", Accept_Encoding="gzip")
    assert (head.status, head.body, head["content-length"]) == (200, b"", str(config(world).size))


async def test_an_empty_file_is_200_with_length_zero(ask: Ask) -> None:
    location = (await ask("/acme/tiny/resolve/main/empty.txt"))["location"]
    empty = await ask(location, Range="bytes=0-0", Accept_Encoding="gzip")
    assert (empty.status, empty.body, empty["content-length"]) == (200, b"", "0")


async def test_awkward_names_survive_both_hops(ask: Ask) -> None:
    first = await ask("/acme/tiny/resolve/main/sub%20dir/%C3%BCn%C3%AF%20c%23de%20100%25%2B[x].txt")
    assert (await ask(first["location"])).body == b"named awkwardly"


async def test_a_large_file_is_redirected_to_the_other_port(ask: Ask, hub: SyntheticHub, world: World) -> None:
    blob, commit = model(world), world.repo("acme/tiny").head()
    first = await ask("/acme/tiny/resolve/main/model.safetensors", method="HEAD")
    assert first.status == 302
    assert first["location"].startswith(f"{hub.cdn_url}/")
    assert first["x-repo-commit"] == commit
    assert first["x-linked-etag"] == f'"{blob.sha256}"'
    assert first["x-linked-size"] == str(blob.size)
    assert len(first["x-xet-hash"]) == 64
    auth, reconstruction = first["link"].split(", ")
    assert auth == f'<{hub.url}/api/models/acme/tiny/xet-read-token/{commit}>; rel="xet-auth"'
    assert reconstruction.startswith(f"<{hub.cas_url}/v1/reconstructions/")
    assert reconstruction.endswith('; rel="xet-reconstruction-info"')


async def test_a_script_that_accepts_xet_info_gets_it(ask: Ask, world: World) -> None:
    accept = "application/vnd.xet-fileinfo+json, */*"
    reply = await ask("/acme/tiny/resolve/main/model.safetensors", Accept=accept)
    assert (reply.status, json.loads(reply.body)["size"]) == (200, model(world).size)


async def test_without_xet_nothing_speaks_of_it(world: World) -> None:
    async with SyntheticHub.open(world, xet=False) as hub, aiohttp.ClientSession(hub.url) as session:
        for target in ("/acme/tiny/resolve/main/model.safetensors", "/api/models/acme/tiny/tree/main"):
            async with session.get(target, allow_redirects=False) as reply:
                assert not [name for name in reply.headers if "xet" in name.lower()]
                assert "link" not in reply.headers
                assert "xetHash" not in await reply.text()


async def test_not_modified(ask: Ask, world: World) -> None:
    for path, tag in (("config.json", config(world).oid), ("model.safetensors", model(world).sha256)):
        reply = await ask(f"/acme/tiny/resolve/main/{path}", If_None_Match=f'"{tag}"')
        assert (reply.status, reply.body, reply["etag"]) == (304, b"", f'"{tag}"')
        assert reply["x-repo-commit"] == world.repo("acme/tiny").head()


async def test_raw_shows_the_pointer(ask: Ask, world: World) -> None:
    reply = await ask("/acme/tiny/raw/main/model.safetensors")
    assert f"oid sha256:{model(world).sha256}" in reply.body.decode()
    assert (await ask("/acme/tiny/raw/main/config.json")).body == config(world).content


async def test_the_cdn_delivers_the_whole_and_parts(ask: Ask, world: World, cdn_address: Mint) -> None:
    blob, address = model(world), await cdn_address()
    whole = await ask(address)
    assert whole.body == blob.read(0, blob.size)
    assert whole["etag"] == etag(blob) != f'"{blob.sha256}"'
    part = await ask(address, Range="bytes=1000000-")
    assert (part.status, part.body) == (206, blob.read(1_000_000, blob.size))
    assert part["content-range"] == f"bytes 1000000-{blob.size - 1}/{blob.size}"
    head = await ask(address, method="HEAD")
    assert (head["content-length"], head.body) == (str(blob.size), b"")
    assert (await ask(address, Range=f"bytes={blob.size}-")).status == 416


async def test_the_cdn_guards_a_range_by_its_own_tag(ask: Ask, world: World, cdn_address: Mint) -> None:
    blob, address = model(world), await cdn_address()
    assert (await ask(address, Range="bytes=0-9", If_Range=etag(blob))).status == 206
    assert (await ask(address, Range="bytes=0-9", If_Range=f'"{blob.sha256}"')).status == 200
    assert (await ask(address, If_None_Match=etag(blob))).status == 304
    assert (await ask(address, If_Match='"other"')).status == 412


async def test_the_cdn_refuses_tokens_and_forged_addresses(ask: Ask, cdn_address: Mint) -> None:
    address = await cdn_address()
    assert (await ask(address, token="hf_alice")).status == 400
    assert (await ask(address.replace("Expires=3600", "Expires=9999"))).status == 403
    assert (await ask(address.partition("?")[0])).status == 403


async def test_an_address_ends_with_its_hour(world: World) -> None:
    now = 1000.0
    async with SyntheticHub.open(world, clock=lambda: now) as hub, aiohttp.ClientSession() as session:
        url = f"{hub.url}/acme/tiny/resolve/main/model.safetensors"
        async with session.get(url, allow_redirects=False) as first:
            address = first.headers["location"]
        async with session.head(address) as fresh:
            assert fresh.status == 200
        now += 3600
        async with session.head(address) as stale:
            assert stale.status == 403


async def test_expire_urls_ends_what_was_minted(ask: Ask, hub: SyntheticHub, cdn_address: Mint) -> None:
    address = await cdn_address()
    hub.expire_urls()
    assert (await ask(address)).status == 403
    assert (await ask(await cdn_address())).status == 200


async def test_the_log_tells_which_plane_saw_a_token(ask: Ask, hub: SyntheticHub) -> None:
    first = await ask("/acme/gated/resolve/main/model.bin", token="hf_alice")
    await ask(first["location"])
    assert [record.plane for record in hub.log if "authorization" in record.headers] == ["hub"]
    assert [(record.kind, record.status) for record in hub.log] == [("resolve", 302), ("cdn", 200)]
    assert hub.log[-1].bytes_sent == 64 * 1024 == hub.counters.total_bytes("cdn")
