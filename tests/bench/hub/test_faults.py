"""Every switch, shown to act; and not to act where it does not match."""

import asyncio
import gzip
import socket
import time

import aiohttp
import pytest
import uvloop
from yarl import URL

from bench.hub import faults as f
from bench.hub.content import KIB, MIB, SyntheticBlob
from bench.hub.messages import Asked, Kind, Plane
from bench.hub.server import SyntheticHub
from bench.hub.world import LfsFile, World
from tests.bench.hub.asking import Ask, Mint
from tests.kit.waiting import until

CDN = ("cdn",)


@pytest.fixture
def blob(world: World) -> SyntheticBlob:
    file = world.repo("acme/tiny").file("model.safetensors")
    assert isinstance(file, LfsFile)
    assert isinstance(file.blob, SyntheticBlob)
    return file.blob


async def arrived(address: str) -> tuple[bytes, BaseException | None]:
    """What came of a body, and how it ended."""
    received = bytearray()
    async with aiohttp.ClientSession() as session, session.get(address) as response:
        try:
            async for piece in response.content.iter_any():
                received += piece
        except aiohttp.ClientError as error:
            return bytes(received), error
    return bytes(received), None


async def test_delay_comes_before_the_first_byte(ask: Ask, hub: SyntheticHub, cdn_address: Mint) -> None:
    address = await cdn_address()
    hub.faults.add(f.Delay(0.2), kinds=CDN)
    began = time.perf_counter()
    await ask(address, method="HEAD")
    assert time.perf_counter() - began >= 0.2


async def test_latency_meets_metadata_only(ask: Ask, hub: SyntheticHub) -> None:
    hub.faults.latency = 600
    await ask("/acme/tiny/resolve/main/config.json")
    hub.faults.latency = 0.2
    began = time.perf_counter()
    await ask("/api/models/acme/tiny")
    assert time.perf_counter() - began >= 0.2


async def test_reset_in_place_of_an_answer(ask: Ask, hub: SyntheticHub) -> None:
    hub.faults.add(f.Reset(), kinds=("api",), times=1)
    with pytest.raises(aiohttp.ClientError):
        await ask("/api/models/acme/tiny/refs", method="POST")  # a client repeats a GET by itself
    assert (hub.log[-1].status, hub.counters.requests["refs"]) == (0, 1)


@pytest.mark.parametrize("reset", [False, True])
async def test_cut_after_so_many_bytes(hub: SyntheticHub, blob: SyntheticBlob, cdn_address: Mint, reset: bool) -> None:
    address = await cdn_address()
    hub.faults.add(f.Cut(MIB + 3, reset=reset), kinds=CDN, times=1)
    received, error = await arrived(address)
    assert error is not None
    assert hub.log[-1].bytes_sent == MIB + 3
    assert received == blob.read(0, len(received))
    assert reset or len(received) == MIB + 3
    assert await arrived(address) == (blob.read(0, blob.size), None)


async def test_stall_pauses_midway(hub: SyntheticHub, blob: SyntheticBlob, cdn_address: Mint) -> None:
    address = await cdn_address()
    hub.faults.add(f.Stall(1000, seconds=0.3), kinds=CDN)
    began = time.perf_counter()
    assert (await arrived(address))[0] == blob.read(0, blob.size)
    assert time.perf_counter() - began >= 0.3


async def test_hold_waits_for_the_test(hub: SyntheticHub, blob: SyntheticBlob, cdn_address: Mint) -> None:
    address = await cdn_address()
    gate = hub.hold("cdn", after=MIB)
    async with aiohttp.ClientSession() as session, session.get(address) as response:
        assert await response.content.readexactly(MIB) == blob.read(0, MIB)
        await gate.reached()
        assert (gate.waiting, hub.log[-1].bytes_sent) == (1, MIB)
        gate.release()
        assert await response.read() == blob.read(MIB, blob.size)


async def test_flipped_byte_is_at_its_offset_in_any_range(
    ask: Ask, hub: SyntheticHub, blob: SyntheticBlob, cdn_address: Mint
) -> None:
    address = await cdn_address()
    hub.faults.add(f.FlipByte(2_000_000), kinds=CDN)
    body = (await ask(address, Range="bytes=1999990-2000009")).body
    assert [at for at, (got, meant) in enumerate(zip(body, blob.read(1_999_990, 20), strict=True)) if got != meant] == [
        10
    ]
    assert (await ask(address, Range="bytes=0-99")).body == blob.read(0, 100)


async def test_content_changes_from_an_offset_on(
    ask: Ask, hub: SyntheticHub, blob: SyntheticBlob, cdn_address: Mint
) -> None:
    address = await cdn_address()
    tag = (await ask(address, method="HEAD"))["etag"]
    hub.faults.add(f.ChangeContent(at=MIB), kinds=CDN)
    changed = await ask(address)
    assert changed["etag"] != tag
    assert changed.body[:MIB] == blob.read(0, MIB)
    assert changed.body[MIB:] == bytes(255 - byte for byte in blob.read(MIB, blob.size))


async def test_content_changes_between_two_ranges(
    ask: Ask, hub: SyntheticHub, blob: SyntheticBlob, cdn_address: Mint
) -> None:
    address = await cdn_address()
    hub.faults.add(f.ChangeContent(keep_etag=True), kinds=CDN, skip=1)
    first, second = await ask(address, Range="bytes=0-9"), await ask(address, Range="bytes=10-19")
    assert first.body == blob.read(0, 10)
    assert second.body != blob.read(10, 10)
    assert first["etag"] == second["etag"]


async def test_announced_longer_than_sent(hub: SyntheticHub, blob: SyntheticBlob, cdn_address: Mint) -> None:
    address = await cdn_address()
    hub.faults.add(f.WrongLength(+5), kinds=CDN)
    received, error = await arrived(address)
    assert isinstance(error, aiohttp.ClientPayloadError)
    assert received == blob.read(0, blob.size)


async def test_announced_and_sent_shorter(ask: Ask, hub: SyntheticHub, blob: SyntheticBlob, cdn_address: Mint) -> None:
    address = await cdn_address()
    hub.faults.add(f.WrongLength(-5), kinds=CDN)
    reply = await ask(address)
    assert reply["content-length"] == str(blob.size - 5)
    assert reply.body == blob.read(0, blob.size - 5)


async def test_etag_differs_each_time(ask: Ask, hub: SyntheticHub, cdn_address: Mint) -> None:
    address = await cdn_address()
    hub.faults.add(f.ChangeETag(), kinds=("cdn", "resolve"))
    assert len({(await ask(address, method="HEAD"))["etag"] for _ in range(3)}) == 3
    linked = {(await ask("/acme/tiny/resolve/main/model.safetensors"))["x-linked-etag"] for _ in range(3)}
    assert {len(tag) for tag in linked} == {66}
    assert len(linked) == 3


async def test_ranges_refused(ask: Ask, hub: SyntheticHub, blob: SyntheticBlob, cdn_address: Mint) -> None:
    address = await cdn_address()
    hub.faults.add(f.IgnoreRange(), kinds=CDN)
    reply = await ask(address, Range="bytes=0-9")
    assert (reply.status, len(reply.body)) == (200, blob.size)
    assert hub.log[-1].headers["range"] == "bytes=0-9"


async def test_content_range_shifted(ask: Ask, hub: SyntheticHub, blob: SyntheticBlob, cdn_address: Mint) -> None:
    address = await cdn_address()
    hub.faults.add(f.ShiftContentRange(by=7), kinds=CDN)
    reply = await ask(address, Range="bytes=10-19")
    assert reply["content-range"] == f"bytes 17-26/{blob.size}"
    assert reply.body == blob.read(10, 10)


async def test_a_part_without_length(ask: Ask, hub: SyntheticHub, blob: SyntheticBlob, cdn_address: Mint) -> None:
    address = await cdn_address()
    hub.faults.add(f.Chunked(), kinds=CDN)
    reply = await ask(address, Range="bytes=10-19")
    assert (reply.status, reply["transfer-encoding"], reply.body) == (206, "chunked", blob.read(10, 10))
    assert "content-length" not in reply


async def test_a_part_gzipped(ask: Ask, hub: SyntheticHub, blob: SyntheticBlob, cdn_address: Mint) -> None:
    address = await cdn_address()
    hub.faults.add(f.Gzip(), kinds=CDN)
    reply = await ask(address, Range="bytes=10-19")
    assert (reply.status, reply["content-encoding"]) == (206, "gzip")
    assert gzip.decompress(reply.body) == blob.read(10, 10)


async def test_failure_for_a_kind_and_a_count(ask: Ask, hub: SyntheticHub) -> None:
    armed = hub.faults.add(f.Fail(503), kinds=("tree", "refs"), times=2)
    statuses = [
        (await ask(f"/api/models/acme/tiny/{page}")).status for page in ("tree/main", "revision/main", "refs", "refs")
    ]
    assert statuses == [503, 200, 503, 200]
    assert armed.seen == 3


async def test_rate_limit_names_its_window(ask: Ask, hub: SyntheticHub) -> None:
    hub.faults.add(f.RateLimited(7), kinds=("api",))
    reply = await ask("/api/models/acme/tiny")
    assert (reply.status, reply["ratelimit"], reply["retry-after"]) == (429, '"api";r=0;t=7', "7")


async def test_addresses_expire_at_once_or_after_uses(ask: Ask, hub: SyntheticHub, cdn_address: Mint) -> None:
    hub.faults.add(f.ExpireUrls(), kinds=("resolve",), times=1)
    hub.faults.add(f.ExpireUrls(seconds=60, uses=2), kinds=("resolve",), skip=1, times=1)
    assert (await ask(await cdn_address())).status == 403
    address = await cdn_address()
    assert [(await ask(address, Range="bytes=0-0")).status for _ in range(3)] == [206, 206, 403]
    assert (await ask(await cdn_address(), Range="bytes=0-0")).status == 206


async def test_redirect_to_a_foreign_host(ask: Ask, hub: SyntheticHub) -> None:
    hub.faults.add(f.RedirectTo("http://evil.test{path}", status=307), kinds=("resolve",))
    reply = await ask("/acme/tiny/resolve/main/config.json")
    assert (reply.status, reply["location"]) == (307, "http://evil.test/acme/tiny/resolve/main/config.json")


async def test_headers_set_and_dropped(ask: Ask, hub: SyntheticHub) -> None:
    hub.faults.add(f.SetHeaders({"ratelimit": '"api";r=1;t=9', "x-repo-commit": ""}), kinds=("resolve",))
    reply = await ask("/acme/tiny/resolve/main/config.json")
    assert reply["ratelimit"] == '"api";r=1;t=9'
    assert "x-repo-commit" not in reply


async def test_bandwidth_is_shared_by_all(hub: SyntheticHub, cdn_address: Mint) -> None:
    address = await cdn_address()
    hub.faults.bandwidth = 20 * MIB
    began = time.perf_counter()
    await asyncio.gather(arrived(address), arrived(address))
    assert time.perf_counter() - began >= 0.25


async def test_at_a_limited_rate_little_is_counted_before_it_leaves(hub: SyntheticHub) -> None:
    """A reader that stands still is sent what its own buffers hold, and what waits in our socket is little."""
    hub.world.repo("acme/tiny").put_blob("large.bin", 32 * MIB)
    hub.world.repo("acme/tiny").commit("Add it")
    hub.faults.connection_bandwidth = 400 * MIB
    loop = asyncio.get_running_loop()
    with socket.socket() as standing:
        standing.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * KIB)
        standing.setblocking(False)
        async with aiohttp.ClientSession() as session:
            url = f"{hub.url}/acme/tiny/resolve/main/large.bin"
            async with session.get(url, allow_redirects=False) as answer:
                place = URL(answer.headers["Location"], encoded=True)
        await loop.sock_connect(standing, (place.host, place.port))
        await loop.sock_sendall(standing, f"GET {place.raw_path_qs} HTTP/1.1\r\nHost: {place.host}\r\n\r\n".encode())
        seen = [-1] * 30

        def stands() -> bool:
            seen.append(hub.counters.total_bytes("cdn"))
            return 0 < seen[-1] == seen[-30]

        await until(stands, "the transfer stands")
        assert seen[-1] < 2 * MIB


async def test_bandwidth_of_one_transfer(hub: SyntheticHub, cdn_address: Mint) -> None:
    address = await cdn_address()
    hub.faults.connection_bandwidth = 10 * MIB
    began = time.perf_counter()
    await asyncio.gather(arrived(address), arrived(address))
    assert time.perf_counter() - began >= 0.25


async def test_throttle_meets_what_it_matches(ask: Ask, hub: SyntheticHub, cdn_address: Mint) -> None:
    address = await cdn_address()
    hub.faults.add(f.Throttle(64 * KIB), kinds=CDN, ranged=True, times=1)
    await ask(address)  # at that rate it would take 48 s
    began = time.perf_counter()
    await ask(address, Range="bytes=0-32767")
    assert time.perf_counter() - began >= 0.4


async def test_an_answer_can_be_held_before_it_is_decided(ask: Ask, hub: SyntheticHub, world: World) -> None:
    gate = hub.hold("revision", after=None)
    reply = asyncio.gather(ask("/api/models/acme/tiny/revision/main"))
    await gate.reached()
    head = world.repo("acme/tiny").commit("while you wait")
    gate.release()
    assert (await reply)[0]["x-repo-commit"] == head


async def test_the_world_can_change_between_two_requests(ask: Ask, hub: SyntheticHub, world: World) -> None:
    repo = world.repo("acme/tiny")
    hub.faults.add(f.Do(lambda: repo.commit("behind your back")), kinds=("resolve",), method="GET", times=1)
    head = await ask("/acme/tiny/resolve/main/config.json", method="HEAD")
    get = await ask("/acme/tiny/resolve/main/config.json")
    assert head["x-repo-commit"] != get["x-repo-commit"] == repo.head()


def test_uvloop_serves_cuts_and_goes_off_alike(world: World, blob: SyntheticBlob) -> None:
    async def story() -> None:
        async with SyntheticHub.open(world) as hub, aiohttp.ClientSession() as session:
            url = f"{hub.url}/acme/tiny/resolve/main/model.safetensors"
            async with session.get(url) as whole:
                assert await whole.read() == blob.read(0, blob.size)
            for reset in (False, True):
                hub.faults.add(f.Cut(MIB, reset=reset), kinds=CDN, times=1)
                async with session.get(url) as cut:
                    with pytest.raises(aiohttp.ClientError):
                        await cut.read()
            await hub.off()
            with pytest.raises(aiohttp.ClientConnectionError):
                await session.get(url)
            await hub.on()
            async with session.head(url) as back:
                assert back.status == 302

    uvloop.run(story())


async def test_off_refuses_and_comes_back_on_the_same_port(ask: Ask, hub: SyntheticHub) -> None:
    url = hub.url
    await ask("/api/models/acme/tiny")
    await hub.off()
    with pytest.raises(aiohttp.ClientConnectionError):
        await ask("/api/models/acme/tiny")
    await hub.on()
    assert hub.url == url
    assert (await ask("/api/models/acme/tiny")).status == 200


async def test_off_cuts_transfers_under_way(hub: SyntheticHub, cdn_address: Mint) -> None:
    address = await cdn_address()
    gate = hub.hold("cdn", after=100 * KIB)
    transfer = asyncio.gather(arrived(address))
    await gate.reached()
    await hub.off()
    [(received, error)] = await transfer
    assert error is not None
    assert len(received) <= 100 * KIB


async def test_a_client_that_leaves_frees_a_stalled_answer(hub: SyntheticHub, cdn_address: Mint) -> None:
    address = await cdn_address()
    gate = hub.hold("cdn", after=1)
    async with aiohttp.ClientSession() as session, session.get(address):
        await gate.reached()
    async with asyncio.timeout(5):
        while gate.waiting:  # noqa: ASYNC110 - nobody signals "nobody waits"
            await asyncio.sleep(0.01)


async def test_clear_makes_the_hub_behave(ask: Ask, hub: SyntheticHub) -> None:
    hub.faults.add(f.Fail(500))
    hub.faults.latency = 60
    hub.faults.clear()
    assert (await ask("/api/models/acme/tiny")).status == 200


def test_match_wants_every_field() -> None:
    armed = f.Faults()
    armed.add(f.Reset(), kinds=("file",), method="GET", path="tiny", ranged=True)
    hit = Asked("GET", "/acme/tiny/x", {"range": "bytes=0-"})
    assert armed.take(Plane.CDN, Kind.CDN, hit)
    for plane, kind, asked in [
        (Plane.HUB, Kind.TREE, hit),
        (Plane.CDN, Kind.CDN, Asked("HEAD", "/acme/tiny/x", {"range": "bytes=0-"})),
        (Plane.CDN, Kind.CDN, Asked("GET", "/acme/other/x", {"range": "bytes=0-"})),
        (Plane.CDN, Kind.CDN, Asked("GET", "/acme/tiny/x")),
    ]:
        assert not armed.take(plane, kind, asked)


@pytest.mark.parametrize("name", sorted(f.ACTS_BY_NAME))
def test_every_act_has_a_json_form(name: str) -> None:
    needed: dict[str, dict[str, object]] = {
        "delay": {"seconds": 1},
        "redirect-to": {"location": "x"},
        "wrong-length": {"by": 1},
        "throttle": {"rate": 5},
    }
    needed |= {"set-headers": {"headers": {}}, "cut": {"after": 1}, "stall": {"after": 1}, "flip-byte": {"at": 1}}
    wanted = {"act": name, **needed.get(name, {}), "kinds": ["cdn"], "times": 2}
    armed = f.Faults()
    armed.update({"faults": [wanted]})
    assert wanted.items() <= armed.as_json()["faults"][0].items()


@pytest.mark.parametrize(
    "wanted",
    [
        {"faults": [{"act": "explode"}]},
        {"faults": [{"act": "cut"}]},
        {"faults": [{"act": "reset", "kinds": ["nope"]}]},
        {"faults": [{"act": "reset", "nope": 1}]},
        {"nope": 1},
        {"latency": []},
        {"bandwidth": "fast"},
    ],
)
def test_a_mistake_changes_nothing(wanted: dict[str, object]) -> None:
    armed = f.Faults(bandwidth=5.0)
    with pytest.raises((ValueError, TypeError)):
        armed.update({"clear": True, **wanted})
    assert armed.bandwidth == 5.0
