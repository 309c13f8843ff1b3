"""The real huggingface_hub against the data port: the two hops of a download, and what it makes of our refusals."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError

from tests.front.fakes import COMMIT, FakeCoordinator
from tests.front.node import Node, serving


def _endpoint(node: Node) -> str:
    return f"http://127.0.0.1:{node.address[1]}"


@pytest.mark.parametrize("size", [0, 700, 3_000_001])
async def test_file_of_a_branch_is_downloaded(coordinator: FakeCoordinator, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    coordinator.add("sub/a #1.bin", content)
    async with serving(coordinator) as node:
        path = await asyncio.to_thread(
            hf_hub_download,
            "acme/tiny",
            "sub/a #1.bin",
            endpoint=_endpoint(node),
            cache_dir=tmp_path / "cache",
            token=False,
        )
    assert Path(path).read_bytes() == content
    assert COMMIT in path


async def test_missing_file_is_a_missing_entry(coordinator: FakeCoordinator, tmp_path: Path) -> None:
    async with serving(coordinator) as node:
        with pytest.raises(EntryNotFoundError):
            await asyncio.to_thread(
                hf_hub_download, "acme/tiny", "none.bin", endpoint=_endpoint(node), cache_dir=tmp_path, token=False
            )


async def test_file_exists_is_answered_both_ways(coordinator: FakeCoordinator) -> None:
    coordinator.add("a.bin", b"x")
    async with serving(coordinator) as node:
        api = HfApi(endpoint=_endpoint(node), token=False)
        assert await asyncio.to_thread(api.file_exists, "acme/tiny", "a.bin")
        assert not await asyncio.to_thread(api.file_exists, "acme/tiny", "b.bin")
