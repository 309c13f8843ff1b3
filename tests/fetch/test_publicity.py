"""How a repo stops being public: whoever learns of it, by whatever answer, learns it for all."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from proxy.core.caller import ANONYMOUS, Caller, bearer
from proxy.core.errors import OriginRefused, OriginUnreachable
from proxy.core.rights import Plane
from proxy.core.secret import Secret
from proxy.fetch.coordinator import CacheOutcome
from proxy.hub.facts import FoundFile, Moved, OriginReply
from proxy.hub.names import FileTarget, Revision
from proxy.hub.targets import Refs, RepoInfo
from tests.kit.waiting import until

from .rig import COMMIT, REPO, Rig, content

MEMBER = bearer(Secret("hf_member"), b"key")
STRANGER = bearer(Secret("hf_stranger"), b"key")
HIDDEN = OriginRefused(404, "Repository not found", code="RepoNotFound")
GATED = OriginRefused(401, "Access to model acme/tiny is restricted", code="GatedRepo")
DISABLED = OriginRefused(403, "Access to this resource is disabled.")
BAD_TOKEN = OriginRefused(401, "Invalid credentials in Authorization header")
INFO = RepoInfo(REPO, Revision("main"), ())
AFTER_THE_REFUSAL = 6


def file(path: str = "a.bin", revision: str = COMMIT) -> FileTarget:
    return FileTarget(REPO, Revision(revision), path)


def json_reply(value: object) -> OriginReply:
    return OriginReply(200, (("content-type", "application/json"),), orjson.dumps(value))


@pytest.fixture(autouse=True)
async def public_file(rig: Rig) -> None:
    rig.origin.files["a.bin"] = content(1000)
    await rig.mirror.locate(ANONYMOUS, file())
    rig.clock.advance(121)  # nobody's right is in memory any more: only the publicity is known


def refuse_all_but_members(rig: Rig, refusal: OriginRefused) -> None:
    rig.origin.refuse = lambda caller: None if caller == MEMBER else refusal


async def learns(rig: Rig, caller: Caller) -> None:
    """`caller` asks for a file nobody asked for before, and is refused."""
    with pytest.raises(OriginRefused):
        await rig.mirror.locate(caller, file("other.bin"))
    rig.clock.advance(AFTER_THE_REFUSAL)


@pytest.mark.parametrize("who", [ANONYMOUS, STRANGER])
@pytest.mark.parametrize("refusal", [HIDDEN, GATED, DISABLED])
async def test_whoever_is_refused_the_repo_closes_it_for_everybody(
    rig: Rig, who: Caller, refusal: OriginRefused
) -> None:
    refuse_all_but_members(rig, refusal)
    await learns(rig, who)
    for caller in (ANONYMOUS, STRANGER):
        with pytest.raises(OriginRefused):
            await rig.mirror.locate(caller, file())


async def test_a_refusal_ends_what_anybody_was_allowed_a_moment_ago(rig: Rig) -> None:
    await rig.mirror.locate(ANONYMOUS, file("a.bin", "main"))
    refuse_all_but_members(rig, HIDDEN)
    with pytest.raises(OriginRefused):
        await rig.mirror.locate(STRANGER, file("other.bin"))
    for caller in (STRANGER, ANONYMOUS):
        with pytest.raises(OriginRefused):
            await rig.mirror.locate(caller, file())


async def test_a_bad_token_says_nothing_of_the_repo(rig: Rig) -> None:
    rig.origin.refuse = lambda caller: BAD_TOKEN if caller == STRANGER else None
    await learns(rig, STRANGER)
    assert (await rig.mirror.locate(ANONYMOUS, file())).cache is CacheOutcome.HIT  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("told", "closed"),
    [
        ({"private": True, "gated": False}, set(Plane)),
        ({"private": False, "gated": "auto"}, {Plane.FILES, Plane.CARD}),
        ({"private": False, "gated": False, "disabled": True}, set(Plane)),
    ],
)
async def test_a_description_for_one_member_closes_the_repo_for_all_others(
    rig: Rig, told: dict[str, object], closed: set[Plane]
) -> None:
    for plane in (Plane.API, Plane.CARD):
        await rig.catalogue.keep_public(REPO, plane)
    rig.origin.replies["/api/models/acme/tiny/revision/main"] = json_reply({"sha": COMMIT, **told})
    refuse_all_but_members(rig, HIDDEN)
    await rig.mirror.metadata(MEMBER, INFO, None)
    assert {plane for plane in Plane if rig.catalogue.public_since(REPO, plane) is None} == closed
    with pytest.raises(OriginRefused):
        await rig.mirror.locate(ANONYMOUS, file())


@pytest.mark.parametrize("caller", [ANONYMOUS, STRANGER])
async def test_who_is_shown_the_card_has_shown_no_right_to_the_files(rig: Rig, caller: Caller) -> None:
    """The Hub shows the README of a gated repo to all."""
    await rig.catalogue.drop_public(REPO, Plane.FILES)
    rig.origin.files["README.md"] = content(100)
    await rig.mirror.locate(caller, file("README.md"))
    assert rig.catalogue.public_since(REPO, Plane.FILES) is None
    refuse_all_but_members(rig, GATED)
    with pytest.raises(OriginRefused):
        await rig.mirror.locate(caller, file())


async def test_who_may_read_the_files_may_read_the_card(rig: Rig) -> None:
    rig.origin.files["README.md"] = content(100)
    await rig.mirror.locate(MEMBER, file("README.md"))
    asked = rig.origin.asked["head"]
    assert (await rig.mirror.locate(ANONYMOUS, file("README.md"))).cache is CacheOutcome.HIT  # type: ignore[union-attr]
    assert rig.origin.asked["head"] == asked


async def test_a_stranger_who_asks_for_a_private_repo_costs_its_members_nothing_they_had(rig: Rig) -> None:
    rig.origin.replies["/api/models/acme/tiny/refs"] = json_reply({"branches": []})
    refuse_all_but_members(rig, HIDDEN)
    await rig.mirror.metadata(MEMBER, Refs(REPO, ()), None)
    await rig.mirror.locate(MEMBER, file("a.bin", "main"))
    await learns(rig, ANONYMOUS)
    assert (await rig.mirror.metadata(MEMBER, Refs(REPO, ()), None)).cache is CacheOutcome.HIT
    assert (await rig.mirror.locate(MEMBER, file("a.bin", "main"))).cache is CacheOutcome.HIT  # type: ignore[union-attr]


async def test_a_public_repo_read_with_tokens_only_is_served_while_the_origin_is_away(rig: Rig) -> None:
    await rig.catalogue.drop_public(REPO, Plane.FILES)
    await rig.mirror.locate(MEMBER, file("a.bin", "main"))
    await until(lambda: rig.catalogue.public_since(REPO, Plane.FILES) is not None, "the repo is seen to be public")
    rig.origin.away = OriginUnreachable("down")
    rig.clock.advance(3600)
    assert (await rig.mirror.locate(MEMBER, file())).cache is CacheOutcome.HIT  # type: ignore[union-attr]


async def test_a_private_repo_is_asked_for_as_nobody_once_an_hour_at_most(rig: Rig) -> None:
    await rig.catalogue.drop_public(REPO, Plane.FILES)
    refuse_all_but_members(rig, HIDDEN)
    rig.origin.files |= {f"{number}.bin": b"x" for number in range(20)}
    before = rig.origin.asked["head"]
    for number in range(20):
        await rig.mirror.locate(MEMBER, file(f"{number}.bin"))
    rig.clock.advance(AFTER_THE_REFUSAL)
    assert rig.origin.asked["head"] - before == 21


async def test_an_answer_that_was_long_under_way_does_not_open_the_repo_again(rig: Rig) -> None:
    rig.origin.files["slow.bin"] = b"x"
    honest, slow = rig.origin.head_file, asyncio.Event()

    async def head_file(target: FileTarget, caller: Caller, *, can_wait: bool = False) -> FoundFile | Moved:
        found = await honest(target, caller)
        if target.path == "slow.bin":
            await slow.wait()
        return found

    rig.origin.head_file = head_file  # type: ignore[method-assign]
    rig.clock.advance(86400)
    asking = rig.tasks.start(rig.mirror.locate(ANONYMOUS, file("slow.bin")), "a slow answer")
    await until(lambda: rig.origin.asked["head"] == 2, "the slow question is under way")
    refuse_all_but_members(rig, HIDDEN)
    await learns(rig, STRANGER)
    slow.set()
    await asking
    for caller in (ANONYMOUS, STRANGER):
        with pytest.raises(OriginRefused):
            await rig.mirror.locate(caller, file())


async def test_of_two_answers_the_one_to_the_later_question_stands(rig: Rig) -> None:
    await rig.catalogue.keep_ref(REPO, Revision("main"), "d" * 40, rig.clock.wall())
    await rig.catalogue.keep_ref(REPO, Revision("main"), COMMIT, rig.clock.wall() - 5)
    entry = rig.catalogue.ref(REPO, Revision("main"))
    assert entry is not None
    assert entry.commit == "d" * 40
