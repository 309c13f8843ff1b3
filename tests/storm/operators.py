"""What operators do meanwhile, by the admin port; what an answer promises is remembered for the judge."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import aiohttp

from tests.kit.node import Node

from .documents import TAGS, Document, Documents
from .judge import Judge, Purged
from .models import Models
from .weather import Weather

MOUNT = "/o/gen"
PATIENCE = 50.0
REFUSALS = (404, 409)
"""Not known (any more), pinned, too many jobs: an operator's everyday."""


class Operators:
    """They work on `nodes`. `complain` takes what an operation should not have said."""

    def __init__(
        self,
        nodes: list[Node],
        models: Models,
        documents: Documents,
        judge: Judge,
        chance: Random,
        complain: Callable[[str], None],
    ) -> None:
        self._nodes = nodes
        self._models = models
        self._documents = documents
        self._judge = judge
        self._chance = chance
        self._complain = complain
        self.done: dict[str, int] = {}
        self._verbs: list[tuple[int, Callable[[int], Awaitable[None]]]] = [
            (14, self.change_document),
            (6, self.change_model),
            (8, self.purge_document),
            (2, self.purge_prefix),
            (3, self.purge_tag),
            (3, self.purge_blob),
            (2, self.make_stale),
            (2, self.remove),
            (2, self.prune),
            (2, self.pin),
            (2, self.unpin),
            (2, self.warm),
            (2, self.verify),
            (1, self.scrub),
            (1, self.export),
            (2, self.look),
        ]

    @property
    def weather(self) -> Weather:
        return self._judge.weather

    async def act(self) -> None:
        """Do one of them somewhere."""
        weights, verbs = zip(*self._verbs, strict=True)
        (verb,) = self._chance.choices(verbs, weights)
        node = self._chance.randrange(len(self._nodes))
        self.done[verb.__name__] = self.done.get(verb.__name__, 0) + 1
        await verb(node)

    # -- the origins change ----------------------------------------------------------------------------------------

    async def change_document(self, _: int) -> None:
        document = self._chance.choice(self._documents.all)
        self.weather.happened("change", f"d{document.number}")
        self._documents.change(document)

    async def change_model(self, _: int) -> None:
        self._models.change(self._chance.choice(self._models.all))

    # -- purges ------------------------------------------------------------------------------------------------------

    async def purge_document(self, node: int) -> None:
        document = self._chance.choice(self._documents.all)
        await self._void(node, {"target": f"{MOUNT}{document.target}"}, [document])

    async def purge_prefix(self, node: int) -> None:
        prefix = self._chance.choice(["/d1", "/d", "/d2"])
        met = [one for one in self._documents.all if one.target.startswith(prefix)]
        await self._void(node, {"prefix": f"{MOUNT}{prefix}"}, met)

    async def purge_tag(self, node: int) -> None:
        tag = self._chance.choice([*TAGS, "all"])
        met = [one for one in self._documents.all if one.traits.tag and tag in (one.traits.tag, "all")]
        await self._void(node, {"tag": tag}, met)

    async def _void(self, node: int, which: dict[str, Any], met: list[Document]) -> None:
        soft, sent = self._chance.random() < 0.4, self.weather.now()
        with self.weather.while_("drop", " ".join(f"d{document.number}" for document in met)):
            told = await self._ask(node, "POST", "/-/api/purge/responses", {**which, "soft": soft})
        if told is not None:
            now = self.weather.now()
            self._judge.purged += [Purged(node, sent, now, document.number, soft) for document in met]

    async def purge_blob(self, node: int) -> None:
        with self.weather.while_("drop"):
            await self._ask(node, "POST", f"/-/api/purge?key=sha256:{self._models.some().sha256}", {})

    # -- repos -------------------------------------------------------------------------------------------------------

    async def make_stale(self, node: int) -> None:
        await self._ask(node, "POST", "/-/api/stale", {"repo": self._repo()})

    async def remove(self, node: int) -> None:
        with self.weather.while_("drop"):
            order = {"repo": self._repo(), "everywhere": self._chance.random() < 0.5}
            if self._chance.random() < 0.5:
                order |= {"include": ["*.safetensors"]}
            await self._ask(node, "POST", "/-/api/remove", order)

    async def prune(self, node: int) -> None:
        await self._ask(node, "POST", "/-/api/prune", {"to": self._chance.choice([0.2, 0.5, 0.8])})

    async def pin(self, node: int) -> None:
        include = [self._chance.choice(["config.json", "weights-0.safetensors"])]
        await self._ask(node, "PUT", "/-/api/pins", {"repo": self._repo(), "revision": "main", "include": include})

    async def unpin(self, node: int) -> None:
        await self._ask(node, "DELETE", f"/-/api/pins?repo={self._repo()}", None)

    async def warm(self, node: int) -> None:
        await self._ask(node, "POST", "/-/api/jobs/warm", {"repo": self._repo(), "revision": "main"})

    async def verify(self, node: int) -> None:
        await self._ask(node, "POST", "/-/api/jobs/verify", {"repo": self._repo(), "revision": "main"})

    async def scrub(self, node: int) -> None:
        await self._ask(node, "POST", "/-/api/jobs/scrub", {})

    async def export(self, node: int) -> None:
        path = self._nodes[node].plan.folder / f"bundle-{self.done['export']}.tar"
        await self._ask(node, "POST", "/-/api/jobs/export", {"path": str(path), "repos": [self._repo()]})

    async def look(self, node: int) -> None:
        document = self._chance.choice(self._documents.all)
        for path in (
            f"/-/api/explain?target={MOUNT}{document.target}",
            "/-/api/stats",
            "/-/api/repos",
            "/-/status",
            "/metrics",
        ):
            await self._ask(node, "GET", path, None)

    def _repo(self) -> str:
        return self._chance.choice(self._models.all).repo

    # -- asking ------------------------------------------------------------------------------------------------------

    async def _ask(self, node: int, method: str, path: str, order: dict[str, Any] | None) -> Any:
        """The answer, None when there is none; what there is no reason for is complained of."""
        began = self.weather.now()
        try:
            status, said = await asked(self._nodes[node], method, path, order)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            status, said = 0, repr(error)
        if 200 <= status < 300:
            return said
        kinds = frozenset({"node", "disk"})
        about = f"n{node}"
        excused = self.weather.explain(frozenset({"disk"}), began, self.weather.now()) or self.weather.explain(
            kinds, began, self.weather.now(), about
        )
        if status not in REFUSALS and not excused:
            took = self.weather.now() - began
            self._complain(
                f"{began:8.2f} n{node} {method} {path} {order} was answered {status} after {took:.2f} s: {said}"
            )
        return None


async def asked(node: Node, method: str, path: str, order: dict[str, Any] | None) -> tuple[int, Any]:
    """Status and answer of the admin port. Raises aiohttp.ClientError, OSError, TimeoutError."""
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.request(method, f"http://{node.admin}{path}", json=order) as answer,
    ):
        text = await answer.text()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text


async def job_done(node: Node, path: str, order: dict[str, Any], within: float = 60.0) -> dict[str, Any]:
    """Have a job done and return it. Raises AssertionError when it is not taken or does not end."""
    status, job = await asked(node, "POST", path, order)
    assert status == 202, f"{path} {order}: {status} {job}"
    async with asyncio.timeout(within):
        while job["state"] in ("waiting", "running"):
            await asyncio.sleep(0.05)
            _, job = await asked(node, "GET", f"/-/api/jobs/{job['id']}", None)
    return dict(job)
