"""`penstock purge` and `penstock explain`, on a node of two workers before a generic origin."""

from __future__ import annotations

import json
from pathlib import Path

from tests.kit.asking import ask
from tests.kit.command import penstock
from tests.kit.conformance import penstock_before
from tests.kit.weborigin import Reply, WebSite

PLACES = ("/a/one", "/a/two", "/b")


async def test_an_operator_explains_and_purges(site: WebSite, tmp_path: Path) -> None:
    for place in PLACES:
        site.at(place, Reply(200, {"Cache-Control": "max-age=600", "Cache-Tag": "all"}))
    async with penstock_before(site.url, tmp_path, "--workers", "2") as node:

        async def asked() -> list[int]:
            for place in PLACES:
                for _ in range(4):  # whichever worker takes it
                    assert (await ask(node.url, "GET", place, {})).status == 200
            return [len(site.requests(place)) for place in PLACES]

        async def says(*words: str, code: int = 0) -> str:
            done = await penstock(*words, "--admin", node.admin)
            assert done.returncode == code, done.said
            return done.said

        assert "forward: uri-miss" in await says("explain", f"{node.url}/a/one")
        assert await asked() == [1, 1, 1]
        told = json.loads((await penstock("explain", "/a/one", "--json", "--admin", node.admin)).stdout)
        assert (told["decision"], told["rule"], told["variants"][0]["tags"]) == ("serve", "fresh", ["all"])
        assert "1 responses would go" in await says("purge", f"{node.url}/a/one", "--dry-run")
        assert "2 responses would go" in await says("purge", "--prefix", "/a/", "--dry-run")
        assert "3 responses would be stale" in await says("purge", "--tag", "all", "--soft", "--dry-run")
        assert await asked() == [1, 1, 1], "nothing went"
        assert "1 responses dropped" in await says("purge", f"{node.url}/a/one")
        assert await asked() == [2, 1, 1]
        assert "2 responses dropped" in await says("purge", "--prefix", "/a/")
        assert await asked() == [3, 2, 1]
        assert "3 responses are stale now" in await says("purge", "--tag", "all", "--soft")
        assert "revalidate: stale" in await says("explain", "/b")
        assert await asked() == [4, 3, 2]
        await says("purge", code=2)
        await says("purge", "--tag", "all", "--prefix", "/", code=2)
