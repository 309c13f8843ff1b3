"""Metadata: kept under the commit it is about, asked for once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import orjson
import pytest

from proxy.core.caller import ANONYMOUS, Caller, bearer
from proxy.core.errors import OriginBusy, OriginLied, OriginRefused, OriginUnreachable, PenstockError
from proxy.core.secret import Secret
from proxy.fetch.coordinator import CacheOutcome
from proxy.hub.facts import OriginReply
from proxy.hub.names import FileTarget, Revision
from proxy.hub.targets import RepoInfo, Tree

from .rig import COMMIT, REPO, Rig, content

MEMBER = bearer(Secret("hf_member"), b"key")
INFO_MAIN = RepoInfo(REPO, Revision("main"), ())
INFO_COMMIT = RepoInfo(REPO, Revision(COMMIT), ())
TREE_MAIN = Tree(REPO, Revision("main"), "", (("recursive", "true"),))
TREE_COMMIT = Tree(REPO, Revision(COMMIT), "", (("recursive", "true"),))


def json_reply(value: object, *headers: tuple[str, str]) -> OriginReply:
    return OriginReply(200, (("content-type", "application/json"), *headers), orjson.dumps(value))


@pytest.fixture(autouse=True)
def hub(rig: Rig) -> None:
    rig.origin.files["a.bin"] = content(2000)
    facts = rig.origin.facts("a.bin")
    lfs = {"oid": facts.etag, "size": facts.size, "pointerSize": 134}
    info = {"id": "acme/tiny", "sha": COMMIT, "private": False, "gated": False, "disabled": False, "xetEnabled": True}
    tree = [{"type": "file", "oid": "e" * 40, "size": 2000, "path": "a.bin", "lfs": lfs, "xetHash": "f" * 64}]
    rig.origin.replies = {
        "/api/models/acme/tiny/revision/main": json_reply(info),
        f"/api/models/acme/tiny/revision/{COMMIT}": json_reply(info),
        f"/api/models/acme/tiny/tree/{COMMIT}?recursive=true": json_reply(tree),
    }


def calls(rig: Rig) -> int:
    return sum(count for name, count in rig.origin.asked.items() if name.startswith("GET"))


async def test_a_snapshot_costs_one_info_and_one_tree_and_then_nothing(rig: Rig) -> None:
    for _ in range(2):
        info = await rig.mirror.metadata(ANONYMOUS, INFO_MAIN, None)
        assert orjson.loads(info.body)["sha"] == COMMIT
        await rig.mirror.metadata(ANONYMOUS, TREE_COMMIT, None)
        await rig.mirror.locate(ANONYMOUS, FileTarget(REPO, Revision(COMMIT), "a.bin"))
    assert calls(rig) == 2
    assert rig.origin.asked["head"] == 0, "a listed file needs no HEAD"


async def test_a_listing_at_a_branch_and_at_its_commit_are_one(rig: Rig) -> None:
    await rig.mirror.metadata(ANONYMOUS, INFO_MAIN, None)
    await rig.mirror.metadata(ANONYMOUS, TREE_COMMIT, None)
    tree = await rig.mirror.metadata(ANONYMOUS, TREE_MAIN, None)
    assert tree.cache is CacheOutcome.HIT
    assert calls(rig) == 2


async def test_xet_is_stripped_from_what_is_kept_and_given(rig: Rig) -> None:
    for _ in range(2):
        tree = await rig.mirror.metadata(ANONYMOUS, TREE_COMMIT, None)
        info = await rig.mirror.metadata(ANONYMOUS, INFO_COMMIT, None)
        assert b"xet" not in tree.body.lower() + info.body.lower()


async def test_many_who_ask_at_once_are_one_question(rig: Rig) -> None:
    await asyncio.gather(*(rig.mirror.metadata(ANONYMOUS, INFO_MAIN, None) for _ in range(30)))
    assert calls(rig) == 1


async def test_listings_are_served_stale_while_the_origin_is_away(rig: Rig) -> None:
    await rig.mirror.metadata(ANONYMOUS, INFO_MAIN, None)
    rig.origin.away = OriginUnreachable("down")
    rig.clock.advance(3600)
    info = await rig.mirror.metadata(ANONYMOUS, INFO_MAIN, None)
    assert (info.cache, info.age) == (CacheOutcome.STALE, 3600)


async def test_a_listing_of_a_private_repo_is_for_those_who_proved_their_right(rig: Rig) -> None:
    refusal = OriginRefused(401, "Repository not found", code="RepoNotFound")
    info = {"sha": COMMIT, "private": True, "gated": False}
    rig.origin.replies["/api/models/acme/tiny/revision/main"] = json_reply(info)
    rig.origin.refuse = lambda caller: None if caller == MEMBER else refusal
    await rig.mirror.metadata(MEMBER, INFO_MAIN, None)
    with pytest.raises(OriginRefused):
        await rig.mirror.metadata(ANONYMOUS, INFO_MAIN, None)


async def test_a_public_description_opens_the_files_to_everybody_a_private_one_does_not(rig: Rig) -> None:
    await rig.mirror.metadata(MEMBER, INFO_MAIN, None)
    await rig.mirror.metadata(MEMBER, TREE_COMMIT, None)
    await rig.mirror.locate(ANONYMOUS, FileTarget(REPO, Revision(COMMIT), "a.bin"))
    assert rig.origin.asked["head"] == 0


async def test_a_gated_repo_shows_its_tree_and_asks_for_its_files(rig: Rig) -> None:
    info = {"sha": COMMIT, "private": False, "gated": "manual", "disabled": False}
    rig.origin.replies["/api/models/acme/tiny/revision/main"] = json_reply(info)
    await rig.mirror.metadata(ANONYMOUS, INFO_MAIN, None)
    await rig.mirror.metadata(ANONYMOUS, TREE_COMMIT, None)
    gated = OriginRefused(401, "gated", code="GatedRepo")
    rig.origin.refuse = lambda caller: gated
    with pytest.raises(OriginRefused) as caught:
        await rig.mirror.locate(ANONYMOUS, FileTarget(REPO, Revision(COMMIT), "a.bin"))
    assert caught.value is gated
    assert (await rig.mirror.metadata(ANONYMOUS, TREE_COMMIT, None)).cache is CacheOutcome.HIT


@pytest.mark.parametrize("location", ["https://cdn.example/x?sig=1", "//evil.example/x", "/login", ""])
@pytest.mark.parametrize("status", [302, 307])
async def test_a_redirect_that_leads_nowhere_here_is_a_lie_and_no_riddle(rig: Rig, status: int, location: str) -> None:
    """A 302 without a Location would tell a client nothing."""
    reply = OriginReply(status, (("location", location),), b"")
    rig.origin.replies["/api/collections"] = rig.origin.replies["/api/models/acme/tiny/revision/main"] = reply
    with pytest.raises(OriginLied):
        await rig.mirror.metadata(ANONYMOUS, INFO_MAIN, None)
    with pytest.raises(OriginLied):
        await rig.mirror.pass_through(ANONYMOUS, "GET", "/api/collections", (), None)


@pytest.mark.parametrize("status", [203, 206, 304])
async def test_what_is_not_the_whole_listing_is_none(rig: Rig, status: int) -> None:
    reply = rig.origin.replies[f"/api/models/acme/tiny/tree/{COMMIT}?recursive=true"]
    rig.origin.replies[f"/api/models/acme/tiny/tree/{COMMIT}?recursive=true"] = replace(reply, status=status)
    with pytest.raises(OriginLied):
        await rig.mirror.metadata(ANONYMOUS, TREE_COMMIT, None)
    rig.origin.replies[f"/api/models/acme/tiny/tree/{COMMIT}?recursive=true"] = reply
    assert (await rig.mirror.metadata(ANONYMOUS, TREE_COMMIT, None)).cache is CacheOutcome.MISS


def tree_page(name: str, following: str | None, commit: str | None = None) -> OriginReply:
    item = {"type": "directory", "oid": "e" * 40, "size": 0, "path": name}
    link = () if following is None else (("link", f'<https://hub.example{following}>; rel="next"'),)
    return json_reply([item], *link, *(() if commit is None else (("x-repo-commit", commit),)))


async def test_the_pages_of_a_tree_are_of_one_commit_though_the_branch_moves(rig: Rig) -> None:
    at = "/api/models/acme/tiny/tree"
    rig.origin.replies |= {
        f"{at}/main?recursive=true": tree_page("a", f"{at}/main?recursive=true&cursor=x", COMMIT),
        f"{at}/{COMMIT}?cursor=x&recursive=true": tree_page("b", None, COMMIT),
        f"{at}/main?cursor=x&recursive=true": tree_page("of another commit", None, "d" * 40),
    }
    for _ in range(2):
        page = await rig.mirror.metadata(ANONYMOUS, TREE_MAIN, None)
        assert page.next_target == f"{at}/{COMMIT}?cursor=x&recursive=true"
    assert page.cache is CacheOutcome.HIT, "the tree has told what the branch means"


@pytest.mark.parametrize("target", [INFO_COMMIT, TREE_COMMIT])
async def test_an_answer_about_another_commit_is_not_taken(rig: Rig, target: RepoInfo | Tree) -> None:
    rig.origin.replies |= {
        f"/api/models/acme/tiny/revision/{COMMIT}": json_reply({"sha": "d" * 40}),
        f"/api/models/acme/tiny/tree/{COMMIT}?recursive=true": tree_page("a", None, "d" * 40),
    }
    for _ in range(2):
        with pytest.raises(OriginLied):
            await rig.mirror.metadata(ANONYMOUS, target, None)
    assert calls(rig) == 2


async def test_a_commit_in_a_header_that_is_none_is_not_kept(rig: Rig) -> None:
    rig.origin.replies["/api/models/acme/tiny/tree/main?recursive=true"] = tree_page("a", None, "main")
    assert (await rig.mirror.metadata(ANONYMOUS, TREE_MAIN, None)).cache is CacheOutcome.MISS


async def test_a_branch_whose_commit_was_forgotten_is_asked_for_what_it_means_now(rig: Rig) -> None:
    await rig.mirror.metadata(ANONYMOUS, INFO_MAIN, None)
    rig.clock.advance(10)
    gone = OriginReply(404, (("x-error-code", "RevisionNotFound"),), b"{}")
    later = {"sha": "d" * 40, "private": False, "gated": False, "disabled": False}
    rig.origin.replies |= {
        f"/api/models/acme/tiny/tree/{COMMIT}?recursive=true": gone,
        "/api/models/acme/tiny/tree/main?recursive=true": tree_page("a", None, "d" * 40),
        f"/api/models/acme/tiny/revision/{'d' * 40}": json_reply(later),
    }
    assert (await rig.mirror.metadata(ANONYMOUS, TREE_MAIN, None)).status == 200
    assert (await rig.mirror.metadata(ANONYMOUS, INFO_MAIN, None)).body.startswith(b'{"sha":"dddd')


@pytest.mark.parametrize("told", [{"private": True, "gated": False}, {"private": False, "gated": "manual"}])
async def test_what_the_hub_tells_one_member_of_a_closed_repo_is_not_told_another(
    rig: Rig, told: dict[str, object]
) -> None:
    other = bearer(Secret("hf_other"), b"key")
    answers = {MEMBER: b"member", other: b"other"}

    async def call(method: str, raw_target: str, caller: Caller, **_: object) -> OriginReply:
        rig.origin.asked[f"{method} {raw_target}"] += 1
        return json_reply({"sha": COMMIT, "for": answers[caller].decode(), **told})

    rig.origin.call = call  # type: ignore[method-assign,assignment]
    for _ in range(2):
        for caller, words in answers.items():
            assert words in (await rig.mirror.metadata(caller, INFO_COMMIT, None)).body
    assert calls(rig) == 2, "each is asked for once"


@pytest.mark.parametrize("away", [OriginUnreachable("503"), OriginBusy("429", 300)])
async def test_a_listing_is_served_stale_and_marked_whatever_keeps_the_origin_away(
    rig: Rig, away: PenstockError
) -> None:
    await rig.mirror.metadata(ANONYMOUS, INFO_MAIN, None)
    rig.clock.advance(301)
    rig.origin.away = away
    info = await rig.mirror.metadata(ANONYMOUS, INFO_MAIN, None)
    assert (info.status, info.cache, info.age) == (200, CacheOutcome.STALE, 301)
