"""The facade through real sockets: what a Xet client asks, step by step."""

from __future__ import annotations

import os
from typing import Any

import orjson
import pytest

from proxy.access.signatures import LONGEST as LONGEST_OF
from proxy.access.signatures import Purpose, Signatures
from proxy.config.schema import XetSection
from proxy.core.clock import ManualClock
from proxy.core.errors import OriginRefused
from proxy.fetch.reading import ByteSource
from proxy.front.limits import Limits
from proxy.hub.xet import HEADER, PIECE, XORB
from tests.front.fakes import COMMIT, FakeCoordinator, at_commit
from tests.front.node import Answer, Node, serving

LONGEST = LONGEST_OF[Purpose.XET]
HASH, OTHER = "cd" * 32, "ef" * 32
TOKEN = f"/api/models/acme/tiny/xet-read-token/{COMMIT}"
MEMBER = "Authorization: Bearer hf_CANARY_of_a_member"


async def minted(node: Node, *fields: str) -> str:
    return str(orjson.loads((await node.ask(TOKEN, *fields)).body)["accessToken"])


async def reconstruct(node: Node, token: str, *fields: str, version: int = 2) -> dict[str, Any]:
    answer = await node.ask(f"/__xet/v{version}/reconstructions/{HASH}", f"Authorization: Bearer {token}", *fields)
    assert answer.status == 200, answer
    found: dict[str, Any] = orjson.loads(answer.body)
    return found


async def assemble(node: Node, plan: dict[str, Any], length: int) -> bytes:
    """What a client makes of a reconstruction, headers checked as it does."""
    content = b""
    for term in plan["terms"]:
        ((place,),) = [plan["xorbs"][term["hash"]]]
        (ranges,) = place["ranges"]
        assert ranges["chunks"] == term["range"]
        span = ranges["bytes"]
        target = place["url"].removeprefix("http://mirror.test:8080")
        answer = await node.ask(target, f"Range: bytes={span['start']}-{span['end']}")
        assert answer.status == 206
        pieces = unpacked(answer.body)
        assert len(pieces) == term["range"]["end"] - term["range"]["start"]
        assert sum(map(len, pieces)) == term["unpacked_length"]
        content += b"".join(pieces)
    start = plan["offset_into_first_range"]
    return content[start : start + length]


def unpacked(body: bytes) -> list[bytes]:
    pieces = []
    while body:
        sent, raw = (int.from_bytes(body[at : at + 3], "little") for at in (1, 5))
        assert (body[0], body[4], sent) == (0, 0, raw)
        pieces.append(body[HEADER : HEADER + raw])
        body = body[HEADER + raw :]
    return pieces


@pytest.mark.parametrize("in_memory", [False, True])
@pytest.mark.parametrize(
    ("start", "stop"), [(0, None), (0, 1), (PIECE, 2 * PIECE), (XORB - 1, XORB + 1), (5, XORB + PIECE + 7)]
)
async def test_what_is_fetched_by_xet_is_the_file(
    coordinator: FakeCoordinator, in_memory: bool, start: int, stop: int | None
) -> None:
    content = os.urandom(XORB + 2 * PIECE + 11)
    coordinator.add("a.bin", content, xet=HASH)
    coordinator.in_memory, coordinator.step = in_memory, 1_000_003
    last = len(content) if stop is None else stop
    async with serving(coordinator) as node:
        plan = await reconstruct(node, await minted(node), f"Range: bytes={start}-{last - 1}")
        assert await assemble(node, plan, last - start) == content[start:last]
        assert (await node.books.settled()).route == "xet"


async def test_the_bytes_of_a_xorb_are_accounted_for(coordinator: FakeCoordinator) -> None:
    coordinator.add("a.bin", os.urandom(3 * PIECE), xet=HASH)
    async with serving(coordinator) as node:
        plan = await reconstruct(node, await minted(node))
        before = node.books.sent[ByteSource.MEMORY]
        await assemble(node, plan, 3 * PIECE)
        exchange = await node.books.settled()
    assert dict(exchange.sent) == {ByteSource.MEMORY: 3 * HEADER, ByteSource.DISK: 3 * PIECE}
    assert node.books.sent[ByteSource.MEMORY] - before == 3 * HEADER
    assert (exchange.path, exchange.revision) == ("a.bin", COMMIT)


async def test_any_part_of_a_xorb_can_be_had(coordinator: FakeCoordinator) -> None:
    coordinator.add("a.bin", os.urandom(2 * PIECE), xet=HASH)
    async with serving(coordinator) as node:
        plan = await reconstruct(node, await minted(node))
        ((place,),) = plan["xorbs"].values()
        target = place["url"].removeprefix("http://mirror.test:8080")
        whole = (await node.ask(target)).body
        for first, last in ((0, 3), (2, HEADER), (PIECE + 1, PIECE + HEADER + 5), (PIECE + HEADER + 3, len(whole) - 1)):
            part = await node.ask(target, f"Range: bytes={first}-{last}")
            assert (part.status, part.body) == (206, whole[first : last + 1])
        head = await node.ask(target, method="HEAD")
    assert (head.headers["content-length"], head.headers["accept-ranges"]) == (str(len(whole)), "bytes")


async def test_the_token_says_the_same_in_fields_and_in_json(coordinator: FakeCoordinator) -> None:
    clock = ManualClock(now=1_000_000.0)
    async with serving(coordinator, clock=clock) as node:
        answer = await node.ask(TOKEN)
    said = orjson.loads(answer.body)
    fields = [answer.headers[f"x-xet-{name}"] for name in ("cas-url", "access-token", "token-expiration")]
    assert fields == [said["casUrl"], said["accessToken"], str(said["exp"])]
    assert said["casUrl"] == "http://mirror.test:8080/__xet"
    assert said["exp"] == 1_000_000 + LONGEST
    assert answer.headers["cache-control"] == "private, no-store"


async def test_a_caller_without_the_right_gets_no_token(coordinator: FakeCoordinator) -> None:
    coordinator.refuse = OriginRefused(403, "Access is restricted", code="GatedRepo")
    async with serving(coordinator) as node:
        answer = await node.ask(TOKEN)
    assert (answer.status, answer.headers["x-error-code"]) == (403, "GatedRepo")


async def test_bytes_are_read_in_the_name_of_whom_the_address_was_given_to(coordinator: FakeCoordinator) -> None:
    """... by any worker, after a restart too: here by another node with the same secret."""
    coordinator.add("a.bin", os.urandom(5), xet=HASH)
    clock = ManualClock(now=1000.0)

    def same() -> Signatures:
        return Signatures(b"s" * 32, clock=clock)

    async with serving(coordinator, signatures=same(), clock=clock) as one:
        plan = await reconstruct(one, await minted(one, MEMBER))
    async with serving(coordinator, signatures=same(), clock=clock) as two:
        await assemble(two, plan, 5)
    assert "CANARY" not in str(plan)
    readers = coordinator.readers
    assert [reader.token.reveal() for reader in readers] == ["hf_CANARY_of_a_member"]


async def test_the_token_of_the_hub_is_no_token_of_xet(coordinator: FakeCoordinator) -> None:
    coordinator.add("a.bin", b"x", xet=HASH)
    async with serving(coordinator) as node:
        for fields in ((), (MEMBER,)):
            answer = await node.ask(f"/__xet/v1/reconstructions/{HASH}", *fields)
            assert answer.status == (404 if fields else 401)
    assert not any(call[0] == "located_by_xet" for call in coordinator.calls)


async def test_an_expired_token_and_an_expired_address_are_403(coordinator: FakeCoordinator) -> None:
    coordinator.add("a.bin", b"x" * 10, xet=HASH)
    clock = ManualClock(now=1000.0)
    async with serving(coordinator, clock=clock) as node:
        token = await minted(node)
        ((place,),) = (await reconstruct(node, token))["xorbs"].values()
        clock.advance(LONGEST)
        late = await node.ask(f"/__xet/v2/reconstructions/{HASH}", f"Authorization: Bearer {token}")
        bytes_late = await node.ask(place["url"].removeprefix("http://mirror.test:8080"))
    assert (late.status, bytes_late.status) == (403, 403)


async def test_an_address_ends_with_the_token_it_was_given_for(coordinator: FakeCoordinator) -> None:
    coordinator.add("a.bin", b"x" * 10, xet=HASH)
    clock = ManualClock(now=1000.0)
    async with serving(coordinator, clock=clock) as node:
        token = await minted(node)
        clock.advance(LONGEST - 5)
        ((place,),) = (await reconstruct(node, token))["xorbs"].values()
        clock.advance(5)
        assert (await node.ask(place["url"].removeprefix("http://mirror.test:8080"))).status == 403


@pytest.mark.parametrize("path", ["v2/reconstructions", "v1/reconstructions", "reconstructions", "reconstruction"])
async def test_past_the_end_is_416_in_every_spelling(coordinator: FakeCoordinator, path: str) -> None:
    coordinator.add("a.bin", b"x" * 10, xet=HASH)
    async with serving(coordinator) as node:
        bearer = f"Authorization: Bearer {await minted(node)}"
        answer = await node.ask(f"/__xet/{path}/{HASH}", bearer, "Range: bytes=10-20")
        foreign = await node.ask(f"/__xet/{path}/{OTHER}", bearer)
    assert (answer.status, answer.headers["content-range"], foreign.status) == (416, "bytes */10", 404)


async def test_older_clients_are_told_in_their_words(coordinator: FakeCoordinator) -> None:
    coordinator.add("a.bin", b"x" * 10, xet=HASH)
    async with serving(coordinator) as node:
        old = await reconstruct(node, await minted(node), version=1)
    ((place,),) = old["fetch_info"].values()
    assert place["url_range"] == {"start": 0, "end": 17}


@pytest.mark.parametrize(
    ("above", "told"), [(0, True), (9, True), (10, False), ("off", False)], ids=["all", "smaller", "larger", "off"]
)
async def test_a_file_above_the_size_says_where_to_find_it_by_xet(
    coordinator: FakeCoordinator, above: Any, told: bool
) -> None:
    coordinator.add("a.bin", b"x" * 10, xet=HASH)
    async with serving(coordinator, xet=XetSection(advertise_above=above)) as node:
        for target in (at_commit("a.bin"), "/acme/tiny/resolve/main/a.bin"):
            head = (await node.ask(target, method="HEAD")).headers
            assert ("x-xet-hash" in head) is told
            assert not told or head["x-xet-refresh-route"] == f"http://mirror.test:8080{TOKEN}"
            assert told or "xet" not in str(head).lower()
        assert "link" not in (await node.ask(f"/acme/tiny/raw/{COMMIT}/a.bin", method="HEAD")).headers


async def test_a_git_file_has_no_hash_to_tell(coordinator: FakeCoordinator) -> None:
    coordinator.add("a.json", b"{}", linked=False)
    async with serving(coordinator, xet=XetSection(advertise_above=0)) as node:
        assert "xet" not in str((await node.ask(at_commit("a.json"), method="HEAD")).headers).lower()


async def test_telemetry_is_swallowed_within_bounds(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator, Limits(body_bytes=100)) as node:
        taken = await node.ask("/__xet/v1/telemetry", method="POST", body=b'{"a": 1}')
        refused: Answer = await node.ask("/__xet/v1/telemetry", method="POST", body=b"x" * 101)
    assert (taken.status, taken.body, refused.status) == (200, b"{}", 413)
    assert not coordinator.calls


async def test_without_the_facade_there_is_nothing(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator, xet=XetSection(facade=False, advertise_above=0)) as node:
        for target in (TOKEN, f"/__xet/v2/reconstructions/{HASH}", f"/__xet/x/{HASH}/0?t=x"):
            assert (await node.ask(target)).status == 404
