"""HUB-PROTOCOL §7.16, §7.17: no answer of the mirror says anything about a right that the origin's own would not.

The origin's own answers are asked of a second Hub over the same world, so that the first one's books stay the mirror's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from bench.hub.content import MIB
from bench.hub.counters import RequestRecord
from bench.hub.faults import Fail
from bench.hub.repo import Repo
from bench.hub.server import SyntheticHub
from tests.kit import canaries
from tests.kit.asking import Answer
from tests.kit.files import all_files, expected
from tests.kit.node import Node
from tests.kit.planes import CARD, LARGE, PLANES, SMALL, Looking, verdict
from tests.kit.stage import Stage
from tests.kit.waiting import until

SHORT = {"freshness__allow_ttl": "1s", "freshness__deny_ttl": "300ms", "freshness__public_ttl": "2s"}
OPEN = frozenset({"allowed", "404 EntryNotFound", "404 RevisionNotFound"})
"""Verdicts that deny nobody the repo."""
GGUF = "tiny-Q8_0.gguf"
NOBODYS = canaries.token("nobody")


@dataclass(frozen=True)
class Matrix:
    """Callers by name, repos by what they are, and two places to ask: the mirror and the Hub itself."""

    stage: Stage
    node: Node
    hub: SyntheticHub
    tokens: dict[str, str | None]
    repos: dict[str, Repo]

    @classmethod
    @asynccontextmanager
    async def open(cls, stage: Stage, **settings: str) -> AsyncIterator[Matrix]:
        repos = {}
        for what in ("public", "gated", "private"):
            repo = stage.world.add_model(f"acme/{what}", gated=what == "gated", private=what == "private")
            repo.put_text(SMALL, b"{}")
            repo.put_text(CARD, f"# {what}\n")
            repo.put_blob(LARGE, MIB + 1)
            repo.commit("Upload")
            for file in all_files(repo):
                stage.wants(file)
            repo.grant("member")
            repo.grant("revoked")
            repos[what] = repo
        tokens = {name: stage.user(name) for name in ("stranger", "member", "revoked")}
        stage.others_ask()
        node = await stage.node(workers=2, **{**SHORT, **settings})
        async with SyntheticHub.open(stage.world) as hub:
            yield cls(stage, node, hub, {"anonymous": None, "nobody": NOBODYS, **tokens}, repos)

    async def differences(self, *callers: str, repos: tuple[str, ...] = ()) -> list[str]:
        """Cells in which the mirror differs from the Hub, asked in this order of callers."""
        found = []
        for caller in callers:
            for what in repos or tuple(self.repos):
                for plane, row in PLANES.items():
                    looking, token = row(self.repos[what]), self.tokens[caller]
                    right = verdict(await looking.ask_on(self.hub.url, token))
                    here = verdict(await looking.ask_on(self.node.url, token))
                    if here != right and not await self._is_open_to_all(caller, here, looking):
                        found.append(f"{caller}, {what}, {plane}: {here}, at the Hub {right}")
        return found

    async def _is_open_to_all(self, caller: str, here: str, looking: Looking) -> bool:
        """What anybody may read, the mirror gives from its cache without asking who it is: also to a token that the
        Hub would not know (docs/http.md)."""
        if caller != "nobody" or here not in OPEN:
            return False
        return verdict(await looking.ask(self.hub.url, None)) == here

    async def settles(self, *callers: str, repos: tuple[str, ...] = ()) -> None:
        """The mirror agrees with the Hub in every cell, once times are up."""

        async def agrees() -> bool:
            return not await self.differences(*callers, repos=repos)

        await until(agrees, "the mirror says what the Hub says", within=15.0)


EVERYBODY = ("anonymous", "nobody", "stranger", "revoked", "member")


@pytest.mark.parametrize("order", [EVERYBODY, EVERYBODY[::-1]], ids=["those without rights first", "members first"])
async def test_every_cell_is_the_origins_cold_and_warm(stage: Stage, order: tuple[str, ...]) -> None:
    async with Matrix.open(stage) as matrix:
        assert await matrix.differences(*order) == [], "cold"
        assert await matrix.differences(*order) == [], "warm"


async def test_what_is_revoked_is_closed_within_its_time_and_to_nobody_else(stage: Stage) -> None:
    async with Matrix.open(stage) as matrix:
        assert await matrix.differences("member", "revoked") == []
        for repo in matrix.repos.values():
            repo.revoke("revoked")
        await matrix.settles("revoked", "member")
        for repo in matrix.repos.values():
            repo.grant("revoked")
        await matrix.settles("revoked", "stranger", "anonymous")


async def test_a_repo_that_changes_who_may_read_it_is_believed(stage: Stage) -> None:
    async with Matrix.open(stage) as matrix:
        assert await matrix.differences(*EVERYBODY) == []
        was_public, was_private = matrix.repos["public"], matrix.repos["private"]
        was_public.private, was_private.private = True, False
        await matrix.settles(*EVERYBODY, repos=("public", "private"))
        was_public.private, was_public.gated = False, True
        await matrix.settles(*EVERYBODY, repos=("public",))


async def test_a_disabled_repo_is_disabled_for_all(stage: Stage) -> None:
    async with Matrix.open(stage) as matrix:
        assert await matrix.differences("member", "anonymous", repos=("public",)) == []
        matrix.repos["public"].disable()
        await matrix.settles(*EVERYBODY, repos=("public",))


async def test_a_token_that_is_withdrawn_is_a_bad_token_within_its_time(stage: Stage) -> None:
    async with Matrix.open(stage) as matrix:
        assert await matrix.differences("member", repos=("private", "gated")) == []
        stage.world.drop_token(matrix.tokens["member"] or "")
        await matrix.settles("member", repos=("private", "gated"))


async def test_a_missing_repo_is_401_to_nobody_and_404_to_somebody(stage: Stage) -> None:
    """Negatives are kept by who asked: warmed by one, then asked by the other, both ways round."""
    async with Matrix.open(stage) as matrix:
        matrix.repos["nowhere"] = called(matrix.repos["public"], "acme/nowhere")
        order = ("anonymous", "stranger", "nobody", "stranger", "anonymous")
        assert await matrix.differences(*order, repos=("nowhere",)) == []


async def test_the_other_names_of_a_repo_open_what_its_own_name_opens(stage: Stage) -> None:
    """HUB-PROTOCOL §7.20: a name it had, and its name in another case; what is stored is stored once."""
    async with Matrix.open(stage) as matrix:
        for what in ("public", "private"):
            repo = stage.world.rename(f"acme/{what}", f"acme/{what}-now")
            matrix.repos[f"{what}, as it was called"] = called(repo, f"acme/{what}")
            matrix.repos[f"{what}, in another case"] = called(repo, f"Acme/{what.title()}-NOW")
        names = tuple(name for name in matrix.repos if "," in name)
        # those without rights, before and after somebody who has them
        order = ("anonymous", "stranger", "member", "stranger", "anonymous")
        assert await matrix.differences(*order, repos=names) == []
        (disk,) = matrix.node.plan.disk_folders
        large = [expected(matrix.repos[what], LARGE) for what in ("public", "private")]
        stored = sorted(path.name for path in disk.glob("blobs/*/*"))
        assert stored == sorted(f"sha256-{file.sha256}" for file in large)
        assert stage.hub.counters.total_bytes("cdn") == sum(file.size for file in large)


def called(repo: Repo, name: str) -> Repo:
    """The same repo, to be asked for by another name."""
    other = Repo.__new__(Repo)
    other.__dict__ |= {**vars(repo), "id": name}
    return other


async def test_rights_fail_closed_and_public_repos_stay_open_while_the_origin_fails(stage: Stage) -> None:
    async with Matrix.open(stage, freshness__stale_for="1d") as matrix:
        assert await matrix.differences("anonymous", "member") == []
        stage.faults.add(Fail(503), kinds=("api", "resolve"))
        private = PLANES["resolve commit"](matrix.repos["private"])
        public = PLANES["resolve commit"](matrix.repos["public"])

        async def is_closed() -> bool:
            return (await private.ask(matrix.node.url, matrix.tokens["member"])).status == 429

        await until(is_closed, "the member's right has run out")
        for token in matrix.tokens.values():
            assert (await public.ask(matrix.node.url, token)).status == 200
        assert (await private.ask(matrix.node.url, None)).status in (401, 429)


@pytest.mark.parametrize("order", [EVERYBODY, EVERYBODY[::-1]], ids=["those without rights first", "members first"])
async def test_the_mirrors_own_token_opens_nothing_to_anybody(stage: Stage, order: tuple[str, ...]) -> None:
    """It may read everything here, and no cell differs for it; not even once a repo has changed."""
    own = stage.user("mirror")
    token = stage.folder / "own-token"
    token.write_text(own)
    async with Matrix.open(stage, origin__token_file=str(token)) as matrix:
        for repo in matrix.repos.values():
            repo.grant("mirror")
        assert await matrix.differences(*order) == [], "cold"
        assert await matrix.differences(*order) == [], "warm"
        asked = {record.kind for record in stage.hub.log if record.headers.get("authorization") == f"Bearer {own}"}
        assert asked <= {"resolve", "resolve-cache"}, "bytes alone are fetched with it"
        assert asked or order[0] == "member", "it was used, where nobody had fetched the bytes before"
        heads = [record for record in stage.hub.log if record.method == "HEAD"]
        assert all(record.headers.get("authorization") != f"Bearer {own}" for record in heads), "it asks for no right"
        matrix.repos["public"].private = True
        await matrix.settles("anonymous", "stranger", repos=("public",))


@dataclass(frozen=True)
class Counters:
    """The three ways to the bytes of a large file, for whoever asks: the status, and what came."""

    stage: Stage
    node: Node

    async def files(self, repo: Repo) -> Answer:
        return await self.stage.ask(self.node, f"/{repo.id}/resolve/{repo.head()}/{LARGE}")

    async def registry(self, repo: Repo) -> Answer:
        await self.stage.ask(self.node, f"/v2/{repo.id}/manifests/latest")
        return await self.stage.ask(self.node, f"/v2/{repo.id}/blobs/sha256:{expected(repo, GGUF).sha256}")

    async def lfs(self, repo: Repo) -> Answer:
        batch = await PLANES["lfs"](repo).ask(self.node.url, None)
        if batch.status != 200:
            return batch
        href = batch.json["objects"][0]["actions"]["download"]["href"]
        return await self.stage.ask(self.node, href.removeprefix(self.node.url))


@pytest.mark.parametrize("way", [Counters.files, Counters.registry, Counters.lfs])
async def test_the_mirrors_own_token_carries_the_bytes_of_every_counter_and_opens_none(
    stage: Stage, way: Callable[[Counters, Repo], Awaitable[Answer]]
) -> None:
    """Cold, so that bytes are fetched: what everybody may read on its account, and not a word on who may read."""
    own = stage.user("mirror")
    token = stage.folder / "own-token"
    token.write_text(own)
    for what in ("public", "gated", "private"):
        repo = stage.world.add_model(f"acme/{what}-GGUF", gated=what == "gated", private=what == "private")
        repo.put_blob(LARGE, MIB + 1)
        repo.put_blob(GGUF, MIB + 1)
        repo.commit("Upload")
        repo.grant("mirror")
        for path in (LARGE, GGUF):
            stage.wants(expected(repo, path))
    counters = Counters(stage, await stage.node(workers=1, origin__token_file=str(token), **SHORT))
    for what in ("gated", "private"):
        assert (await way(counters, stage.world.repo(f"acme/{what}-GGUF"))).status in (401, 403, 404)
    assert not shown(stage, own), "nothing was asked on the mirror's account for those who may not have it"
    answer = await way(counters, stage.world.repo("acme/public-GGUF"))
    assert (answer.status, len(answer.body)) == (200, MIB + 1)
    assert len(shown(stage, own)) == 1, "the bytes were found on the mirror's account"
    assert shown(stage, own)[0].method != "HEAD"


def shown(stage: Stage, token: str) -> list[RequestRecord]:
    """The questions that came with that token."""
    return [record for record in stage.hub.log if record.headers.get("authorization") == f"Bearer {token}"]


async def test_a_token_of_the_mirror_that_is_turned_away_costs_nobody_a_file(stage: Stage) -> None:
    token = stage.folder / "own-token"
    token.write_text(NOBODYS)
    async with Matrix.open(stage, origin__token_file=str(token)) as matrix:
        assert await matrix.differences("anonymous", repos=("public",)) == []
