"""The oracles, tried: each of six planted bugs must turn its own oracle red."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bench.hub.content import MIB
from bench.hub.faults import FlipByte
from tests.kit.files import Expected
from tests.kit.node import Node
from tests.kit.stage import Stage


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage whose verdict is the test's own."""
    async with Stage.open(tmp_path, judge=False) as ready:
        yield ready


async def sabotaged(stage: Stage, bug: str) -> tuple[Node, Expected]:
    file = stage.blob("acme/tiny", "model.safetensors", 4 * MIB)
    return await stage.node(command=("-m", "tests.kit.sabotage", bug)), file


async def test_without_a_bug_no_oracle_complains(stage: Stage) -> None:
    file = stage.blob("acme/tiny", "model.safetensors", 4 * MIB)
    node = await stage.node()
    for _ in range(50):
        await stage.read(node, file, token=None)
    assert await stage.verdict() == {}


async def test_a_flipped_byte_is_a_wrong_byte(stage: Stage) -> None:
    node, file = await sabotaged(stage, "flip-a-byte")
    await stage.read(node, file)
    complaints = await stage.verdict()
    assert "byte 0 is wrong" in str(complaints["O1 no wrong byte"])


async def test_a_short_body_with_a_clean_end_is_not_complete(stage: Stage) -> None:
    node, file = await sabotaged(stage, "end-short-and-clean")
    await stage.read(node, file)
    complaints = await stage.verdict()
    assert "short clean end" in str(complaints["O2 complete or clean error"])


async def test_fetching_twice_is_more_than_the_origin_owes(stage: Stage) -> None:
    node, file = await sabotaged(stage, "fetch-twice")
    await stage.read(node, file)
    complaints = await stage.verdict()
    assert f"{2 * file.size} bytes for {file.size} wanted" in str(complaints["O3 origin asked once"])


async def test_a_descriptor_leaked_by_each_request_is_a_leak(stage: Stage) -> None:
    node, file = await sabotaged(stage, "leak-a-descriptor")
    for _ in range(20):
        await stage.read(node, file, span=(0, 10))
    complaints = await stage.verdict()
    assert "descriptors more than before" in str(complaints["O4 no leaks"])


async def test_a_token_in_the_log_is_found(stage: Stage) -> None:
    node, file = await sabotaged(stage, "log-the-token")
    await stage.read(node, file, token=stage.user("alice"))
    complaints = await stage.verdict()
    assert f"{node.events} holds a token" in complaints["O7 no token leaks"]


async def test_a_skipped_digest_lets_a_wrong_byte_through(stage: Stage) -> None:
    node, file = await sabotaged(stage, "skip-the-digest")
    stage.faults.add(FlipByte(at=MIB + 5), kinds=("cdn",))
    await stage.read(node, file)
    complaints = await stage.verdict()
    assert f"byte {MIB + 5} is wrong" in str(complaints["O1 no wrong byte"])
    assert "its bytes hash to" in str(complaints["O5 store consistent"])
