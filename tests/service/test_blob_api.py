"""Blobs on the admin port, before nodes of one process and of several."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.core.blob import BlobKey
from tests.service.running import Running, running, until

KEY = BlobKey.sha256("7a" * 32)


async def purge(node: Running, key: str, **how: Any) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"http://{node.standing['admin']}/-/api/purge", params={"key": key}, **(how or {"json": {}})
        ) as answer,
    ):
        return answer.status


async def purged(node: Running) -> list[str]:
    """What the workers were told to purge."""
    _, page = await node.admin("/-/status")
    told = json.loads(page)
    nodes = [told["node"]] if "node" in told else [worker["node"] for worker in told["workers"]]
    return [key for one in nodes for key in one["purged"]]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_one_worker_is_told_to_purge(tmp_path: Path, workers: str) -> None:
    async with running(tmp_path, "--workers", workers) as node:
        assert await purge(node, str(KEY)) == 202

        async def told() -> bool:
            return await purged(node) == [str(KEY)]

        await until(told, "a worker is told")
        assert await purge(node, "nothing") == 400
        assert await purge(node, str(KEY), data="a form") == 415
        assert await purged(node) == [str(KEY)]
