"""What is taken back is counted, and for how long an answer may be told again is told with it."""

from __future__ import annotations

import contextlib
import math

import pytest

from proxy.core.caller import ANONYMOUS, Caller, bearer
from proxy.core.errors import OriginRefused
from proxy.core.rights import Plane
from proxy.core.secret import Secret
from proxy.fetch.coordinator import Located
from proxy.hub.names import FileTarget, Revision
from proxy.hub.notices import RepoClosed

from .rig import COMMIT, REPO, Rig, content

MEMBER = bearer(Secret("hf_member"), b"key")
CLOSED = OriginRefused(401, "Repository not found", code="RepoNotFound")
BAD_TOKEN = OriginRefused(401, "Invalid credentials")
LATER = "d" * 40


def file(revision: str = COMMIT) -> FileTarget:
    return FileTarget(REPO, Revision(revision), "a.bin")


@pytest.fixture(autouse=True)
def one_file(rig: Rig) -> None:
    rig.origin.files["a.bin"] = content(1000)


async def located(rig: Rig, target: FileTarget, caller: Caller = ANONYMOUS) -> Located:
    await rig.mirror.locate(caller, target)
    found = await rig.mirror.locate(caller, target)
    assert isinstance(found, Located)
    return found


async def refused(rig: Rig, target: FileTarget, caller: Caller = ANONYMOUS) -> None:
    with pytest.raises(OriginRefused):
        await rig.mirror.locate(caller, target)


async def test_a_pinned_commit_may_be_told_again_as_long_as_the_repo_is_taken_as_public(rig: Rig) -> None:
    assert (await located(rig, file())).fresh_for == math.inf
    assert rig.mirror.open_for(file()) == 120.0, "as long as the right that was just proven"
    rig.clock.advance(86000)
    assert rig.mirror.open_for(file()) == 400.0
    rig.clock.advance(400)
    assert rig.mirror.open_for(file()) == 0.0


async def test_a_branch_may_be_told_again_until_it_is_asked_for_anew(rig: Rig) -> None:
    assert (await located(rig, file("main"))).fresh_for == 30.0
    rig.clock.advance(29.5)
    assert (await located(rig, file("main"))).fresh_for == 0.5


async def test_what_was_just_asked_for_is_not_told_again(rig: Rig) -> None:
    first = await rig.mirror.locate(ANONYMOUS, file())
    assert isinstance(first, Located)
    assert first.fresh_for == 0.0


async def test_what_a_member_may_read_is_not_open_to_everybody(rig: Rig) -> None:
    rig.origin.refuse = lambda caller: None if caller == MEMBER else CLOSED
    await located(rig, file(), MEMBER)
    assert rig.mirror.open_for(file()) == 0.0


async def test_new_facts_are_no_changes(rig: Rig) -> None:
    await located(rig, file("main"))
    rig.clock.advance(31)
    await located(rig, file("main"))
    await located(rig, file())
    assert rig.changes.count == 0


async def test_a_branch_that_moves_is_a_change(rig: Rig) -> None:
    await located(rig, file("main"))
    rig.origin.commits["main"] = LATER
    rig.clock.advance(31)
    assert (await located(rig, file("main"))).commit == LATER
    assert rig.changes.count == 1


async def test_a_branch_that_is_no_more_is_a_change(rig: Rig) -> None:
    await located(rig, file("main"))
    await rig.catalogue.drop_ref(REPO, Revision("main"))
    assert rig.changes.count == 1
    await rig.catalogue.drop_ref(REPO, Revision("main"))
    assert rig.changes.count == 1


async def test_a_repo_that_closes_is_a_change(rig: Rig) -> None:
    await located(rig, file())
    rig.origin.refuse = lambda caller: CLOSED
    rig.clock.advance(86_401)
    await refused(rig, file())
    assert rig.changes.count >= 1


async def test_a_repo_that_closes_on_another_node_is_a_change(rig: Rig) -> None:
    await located(rig, file())
    await rig.mirror.hear(RepoClosed(REPO, tuple(Plane), rig.clock.wall() + 1.0))
    assert rig.changes.count >= 1


async def test_facts_that_are_doubted_are_a_change(rig: Rig) -> None:
    await located(rig, file())
    await rig.catalogue.drop_resolution(file())
    assert rig.changes.count == 1


async def test_who_is_turned_away_from_what_nobody_was_told_changes_nothing(rig: Rig) -> None:
    """Else anybody could end all copies at any time."""
    await located(rig, file())
    rig.origin.refuse = lambda caller: BAD_TOKEN if caller.token is not None else CLOSED
    unknown = FileTarget(type(REPO)(REPO.kind, "acme/unknown"), Revision("main"), "a.bin")
    for caller in (ANONYMOUS, MEMBER):
        with contextlib.suppress(OriginRefused):
            await rig.mirror.locate(caller, unknown)
    assert rig.changes.count == 0
