"""A node and its operator: `penstock WORDS` against its admin port."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.kit.command import Done, penstock
from tests.kit.node import Node
from tests.kit.stage import Stage
from tests.kit.waiting import until


@dataclass
class Operator:
    """Who runs the command against one node."""

    stage: Stage
    node: Node

    async def says(self, *words: str) -> Done:
        """`penstock WORDS --admin …`, however it ends."""
        return await penstock(*words, "--admin", str(self.node.admin))

    async def json(self, *words: str) -> Any:
        """What it says with --json; it ends well."""
        done = await self.says(*words, "--json")
        assert done.returncode == 0, done.said
        return json.loads(done.stdout)

    async def api(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The admin port asked without the command."""
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"http://{self.node.admin}{path}", json=body) as answer,
        ):
            return answer.status, await answer.json()

    async def job(self, job_id: str) -> dict[str, Any]:
        status, job = await self.api("GET", f"/-/api/jobs/{job_id}")
        assert status == 200, job
        return dict(job)

    async def job_is(self, job_id: str, state: str) -> dict[str, Any]:
        """The job once it is in that state."""

        async def there() -> dict[str, Any] | None:
            status, job = await self.api("GET", f"/-/api/jobs/{job_id}")
            return job if status == 200 and job["state"] == state else None  # 503: a worker starts again

        found = await until(there, f"{job_id} is {state}", 15.0)
        assert found is not None
        return found


@asynccontextmanager
async def operated(folder: Path, *, workers: int = 1, **settings: Any) -> AsyncIterator[Operator]:
    """A Hub, a node before it, and its operator. The oracles of scenarios are not asked: what an operator does is no
    client's wish."""
    async with Stage.open(folder, judge=False) as stage:
        yield Operator(stage, await stage.node(workers=workers, **settings))
