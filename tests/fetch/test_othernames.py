"""What a repo was called before leads to what it is called now, for a time, and for those who may know."""

from __future__ import annotations

import pytest

from proxy.core.caller import ANONYMOUS, bearer
from proxy.core.errors import OriginRefused
from proxy.core.rights import Plane
from proxy.core.secret import Secret
from proxy.fetch.inquiries import Enough
from proxy.fetch.othernames import OtherNames
from proxy.fetch.rights import Freshness, Rights
from proxy.hub.names import RepoId, RepoKind

from .rig import Rig

OLD, NEW = (RepoId(RepoKind.MODEL, name) for name in ("gpt2", "openai-community/gpt2"))
MEMBER, STRANGER = (bearer(Secret(f"hf_{name}"), b"key") for name in ("member", "stranger"))
TTL, STALE = 300.0, 7 * 86400.0


@pytest.fixture
def rights(rig: Rig) -> Rights:
    return rig.mirror._rights


@pytest.fixture
def names(rig: Rig, rights: Rights) -> OtherNames:
    return OtherNames(rig.catalogue, rights, rig.clock, Freshness(30.0, TTL, STALE, 86400.0))


async def test_a_name_leads_on_for_as_long_as_a_listing_holds(rig: Rig, names: OtherNames) -> None:
    await rig.catalogue.keep_public(NEW, Plane.FILES)
    assert names.known(ANONYMOUS, OLD, Plane.FILES, Enough.FRESH) is None
    await names.learn(OLD, NEW)
    rig.clock.advance(TTL - 1)
    assert names.known(ANONYMOUS, OLD, Plane.FILES, Enough.FRESH) == NEW
    rig.clock.advance(1)
    assert names.known(ANONYMOUS, OLD, Plane.FILES, Enough.FRESH) is None
    assert names.known(ANONYMOUS, OLD, Plane.FILES, Enough.AWAY) == NEW
    rig.clock.advance(STALE)
    assert names.known(ANONYMOUS, OLD, Plane.FILES, Enough.AWAY) is None


async def test_a_name_is_told_to_those_whose_right_is_known(names: OtherNames, rights: Rights) -> None:
    await names.learn(OLD, NEW)
    await rights.learn(MEMBER, NEW, Plane.FILES, rights.closings(NEW))
    await rights.unlearn(STRANGER, NEW, Plane.FILES, OriginRefused(404, "no", code="RepoNotFound"))
    found = [names.known(caller, OLD, Plane.FILES, Enough.FRESH) for caller in (MEMBER, STRANGER, ANONYMOUS)]
    assert found == [NEW, None, None]


async def test_a_repo_that_gets_its_old_name_back_leads_nobody_in_circles(rig: Rig, names: OtherNames) -> None:
    for repo in (OLD, NEW):
        await rig.catalogue.keep_public(repo, Plane.FILES)
    await names.learn(OLD, NEW)
    rig.clock.advance(1)
    await names.learn(NEW, OLD)
    assert names.known(ANONYMOUS, NEW, Plane.FILES, Enough.FRESH) == OLD
    assert names.known(ANONYMOUS, OLD, Plane.FILES, Enough.FRESH) is None
