"""Who may read, which commit, what file: what is asked of the origin, and what is not."""

from __future__ import annotations

import asyncio

import pytest

from proxy.core.caller import ANONYMOUS, Caller, bearer
from proxy.core.errors import OriginRefused, OriginUnreachable
from proxy.core.secret import Secret
from proxy.fetch.coordinator import CacheOutcome, Located
from proxy.hub.names import FileTarget, Revision

from .rig import COMMIT, REPO, Rig, content

MEMBER = bearer(Secret("hf_member"), b"key")
STRANGER = bearer(Secret("hf_stranger"), b"key")
REFUSED = OriginRefused(401, "Repository not found", code="RepoNotFound")


def file(path: str = "a.bin", revision: str = COMMIT) -> FileTarget:
    return FileTarget(REPO, Revision(revision), path)


@pytest.fixture(autouse=True)
def one_file(rig: Rig) -> None:
    rig.origin.files["a.bin"] = content(1000)


def make_private(rig: Rig) -> None:
    rig.origin.refuse = lambda caller: None if caller == MEMBER else REFUSED


async def locate(rig: Rig, target: FileTarget, caller: Caller = ANONYMOUS) -> Located:
    found = await rig.mirror.locate(caller, target)
    assert isinstance(found, Located)
    return found


async def test_a_pinned_commit_of_a_public_repo_costs_one_question_for_a_day(rig: Rig) -> None:
    assert (await locate(rig, file())).cache is CacheOutcome.MISS
    rig.clock.advance(23 * 3600)
    assert (await locate(rig, file())).cache is CacheOutcome.HIT
    assert (await locate(rig, file(), STRANGER)).cache is CacheOutcome.HIT, "what anybody may read, a stranger may"
    assert rig.origin.asked["head"] == 1


async def test_a_pinned_commit_of_a_public_repo_is_served_while_the_origin_is_away(rig: Rig) -> None:
    await locate(rig, file())
    rig.origin.away = OriginUnreachable("down")
    rig.clock.advance(30 * 86400)
    found = await locate(rig, file())
    assert (found.cache, found.commit) == (CacheOutcome.STALE, COMMIT)


async def test_many_who_ask_at_once_are_one_question(rig: Rig) -> None:
    found = await asyncio.gather(*(locate(rig, file(revision="main")) for _ in range(50)))
    assert {each.commit for each in found} == {COMMIT}
    assert rig.origin.asked["head"] == 1


async def test_blanks_in_names_make_no_two_questions_one(rig: Rig) -> None:
    """`main of` + `x.bin` and `main` + `of x.bin`: the second would get the first's refusal."""
    rig.origin.files["of x.bin"] = content(1000)
    wrong, right = file("x.bin", "main of"), file("of x.bin", "main")
    refused, found = await asyncio.gather(locate(rig, wrong), locate(rig, right), return_exceptions=True)
    assert isinstance(refused, OriginRefused)
    assert isinstance(found, Located)
    assert found.target.path == "of x.bin"


async def test_a_branch_is_asked_for_again_after_its_time(rig: Rig) -> None:
    await locate(rig, file(revision="main"))
    rig.clock.advance(29)
    assert (await locate(rig, file(revision="main"))).age == 29
    rig.origin.commits["main"] = "d" * 40
    assert (await locate(rig, file(revision="main"))).commit == COMMIT
    rig.clock.advance(2)
    assert (await locate(rig, file(revision="main"))).commit == "d" * 40
    assert rig.origin.asked["head"] == 2


async def test_a_branch_is_served_stale_while_the_origin_is_away_but_not_for_ever(rig: Rig) -> None:
    await locate(rig, file(revision="main"))
    rig.origin.away = OriginUnreachable("down")
    rig.clock.advance(3600)
    found = await locate(rig, file(revision="main"))
    assert (found.cache, found.age) == (CacheOutcome.STALE, 3600)
    rig.clock.advance(7 * 86400)
    with pytest.raises(OriginUnreachable):
        await locate(rig, file(revision="main"))


async def test_a_private_file_that_one_caller_warmed_is_hidden_from_all_others(rig: Rig) -> None:
    make_private(rig)
    await locate(rig, file(), MEMBER)
    for caller in (ANONYMOUS, STRANGER):
        with pytest.raises(OriginRefused) as caught:
            await rig.mirror.locate(caller, file())
        assert caught.value is REFUSED
    assert (await locate(rig, file(), MEMBER)).cache is CacheOutcome.HIT


async def test_a_right_to_a_private_repo_is_proven_again_after_its_time(rig: Rig) -> None:
    make_private(rig)
    await locate(rig, file(), MEMBER)
    rig.clock.advance(121)
    rig.origin.refuse = lambda caller: REFUSED
    with pytest.raises(OriginRefused):
        await rig.mirror.locate(MEMBER, file())


async def test_a_private_repo_fails_closed_while_the_origin_is_away(rig: Rig) -> None:
    make_private(rig)
    await locate(rig, file(), MEMBER)
    rig.origin.away = OriginUnreachable("down")
    assert (await locate(rig, file(), MEMBER)).cache is CacheOutcome.HIT
    rig.clock.advance(121)
    with pytest.raises(OriginUnreachable):
        await rig.mirror.locate(MEMBER, file())


async def test_a_refusal_is_repeated_for_a_moment_without_asking(rig: Rig) -> None:
    make_private(rig)
    for _ in range(3):
        with pytest.raises(OriginRefused):
            await rig.mirror.locate(STRANGER, file())
    assert rig.origin.asked["head"] == 1
    rig.clock.advance(6)
    with pytest.raises(OriginRefused):
        await rig.mirror.locate(STRANGER, file())
    assert rig.origin.asked["head"] == 2


async def test_a_repo_that_turns_private_is_public_no_more_once_the_origin_says_so(rig: Rig) -> None:
    await locate(rig, file())
    make_private(rig)
    with pytest.raises(OriginRefused):
        await rig.mirror.locate(ANONYMOUS, file("other.bin"))
    rig.clock.advance(6)
    with pytest.raises(OriginRefused):
        await rig.mirror.locate(ANONYMOUS, file())


async def test_what_is_not_in_a_commit_is_not_asked_for_twice(rig: Rig) -> None:
    await locate(rig, file())
    for revision in (COMMIT, COMMIT, "main", "main"):
        with pytest.raises(OriginRefused) as caught:
            await rig.mirror.locate(ANONYMOUS, file("absent.json", revision))
        assert (caught.value.code, caught.value.commit) == ("EntryNotFound", COMMIT)
    assert rig.origin.asked["head"] <= 3


async def test_an_absent_file_of_a_private_repo_is_hidden_as_the_repo_is(rig: Rig) -> None:
    make_private(rig)
    await locate(rig, file(), MEMBER)
    with pytest.raises(OriginRefused):
        await rig.mirror.locate(MEMBER, file("absent.json"))
    with pytest.raises(OriginRefused) as caught:
        await rig.mirror.locate(STRANGER, file("absent.json"))
    assert caught.value.code == "RepoNotFound"


async def test_a_branch_that_is_gone_is_not_remembered_even_while_the_origin_is_away(rig: Rig) -> None:
    await locate(rig, file(revision="main"))
    del rig.origin.commits["main"]
    with pytest.raises(OriginRefused):
        await rig.mirror.locate(ANONYMOUS, file("other.bin", "main"))
    with pytest.raises(OriginRefused) as caught:
        await rig.mirror.locate(ANONYMOUS, file(revision="main"))
    assert caught.value.code == "RevisionNotFound"
    rig.origin.away = OriginUnreachable("down")
    with pytest.raises(OriginUnreachable):
        await rig.mirror.locate(ANONYMOUS, file(revision="main"))


@pytest.mark.parametrize(
    "refusal",
    [
        OriginRefused(404, "no such file", code="EntryNotFound", commit="d" * 40),
        OriginRefused(404, "no such file", code="EntryNotFound"),
        OriginRefused(404, "no such file", commit=COMMIT),
        OriginRefused(410, "no such file", code="EntryNotFound", commit=COMMIT),
    ],
)
async def test_a_file_is_absent_for_ever_only_where_the_hub_says_just_that(rig: Rig, refusal: OriginRefused) -> None:
    await locate(rig, file())
    rig.origin.refuse = lambda caller: refusal
    with pytest.raises(OriginRefused):
        await rig.mirror.locate(ANONYMOUS, file("b.bin"))
    for commit in (COMMIT, "d" * 40):
        assert rig.catalogue.resolution(file("b.bin", commit)) is None


async def test_what_is_kept_will_do_when_the_origin_allows_only_a_few_more_questions(rig: Rig) -> None:
    await locate(rig, file(revision="main"))
    rig.clock.advance(60)
    rig.origin.is_scarce = True
    assert (await locate(rig, file(revision="main"))).cache is CacheOutcome.STALE
    rig.origin.files["b.bin"] = content(10)
    assert (await locate(rig, file("b.bin", "main"))).cache is CacheOutcome.MISS, "what is not here cannot wait"


async def test_rights_do_not_wait_for_a_better_time_to_ask(rig: Rig) -> None:
    await locate(rig, file(revision="main"))
    rig.clock.advance(25 * 3600)
    rig.origin.is_scarce = True
    make_private(rig)
    with pytest.raises(OriginRefused):
        await rig.mirror.locate(ANONYMOUS, file(revision="main"))
