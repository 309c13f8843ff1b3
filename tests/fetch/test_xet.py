"""Who may reconstruct what: proven by the caller's own token at the files themselves, and learnt whole before."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.core.caller import ANONYMOUS, bearer
from proxy.core.errors import OriginRefused, OriginUnreachable
from proxy.core.secret import Secret
from proxy.fetch.coordinator import Granted
from proxy.hub.facts import OriginReply
from proxy.hub.names import RepoId, RepoKind, Revision
from tests.fetch.rig import COMMIT, REPO, Rig, content

MAIN, PINNED = Revision("main"), Revision(COMMIT)
INFO = "/api/models/acme/tiny/revision/main"
TREE = f"/api/models/acme/tiny/tree/{COMMIT}?recursive=true"
JSON = ("content-type", "application/json")
ANN = bearer(Secret("hf_ann"), b"key")


def item(rig: Rig, path: str, xet: str) -> dict[str, Any]:
    facts = rig.origin.facts(path)
    lfs = {"oid": facts.etag, "size": facts.size, "pointerSize": 134}
    return {"type": "file", "path": path, "oid": "e" * 40, "size": facts.size, "lfs": lfs, "xetHash": xet}


@pytest.fixture
def furnished(rig: Rig) -> Rig:
    """A repo of two files on two pages, public to whom the origin lets in."""
    rig.origin.files |= {"a.bin": content(3_000_000), "b.bin": content(5, seed=8)}
    info = {"id": "acme/tiny", "sha": COMMIT, "private": True, "gated": False}
    following = f"{TREE}&cursor=x"
    link = ("link", f'<https://hub{following}>; rel="next"')
    rig.origin.replies |= {
        INFO: OriginReply(200, (JSON,), orjson.dumps(info)),
        TREE: OriginReply(200, (JSON, link), orjson.dumps([item(rig, "a.bin", "aa" * 32)])),
        f"/api/models/acme/tiny/tree/{COMMIT}?cursor=x&recursive=true": OriginReply(
            200, (JSON,), orjson.dumps([item(rig, "b.bin", "bb" * 32)])
        ),
    }
    return rig


async def test_a_grant_learns_every_hash_of_the_commit(furnished: Rig) -> None:
    assert await furnished.mirror.grant(ANN, REPO, MAIN) == Granted(REPO, COMMIT, everybody=False)
    found = furnished.mirror.located_by_xet(REPO, COMMIT, "bb" * 32)
    assert found is not None
    assert (found.target.path, found.facts.etag) == ("b.bin", furnished.origin.facts("b.bin").etag)


async def test_a_hash_is_found_in_its_repo_at_its_commit_only(furnished: Rig) -> None:
    await furnished.mirror.grant(ANN, REPO, PINNED)
    assert furnished.mirror.located_by_xet(REPO, "d" * 40, "aa" * 32) is None
    assert furnished.mirror.located_by_xet(RepoId(RepoKind.DATASET, "acme/tiny"), COMMIT, "aa" * 32) is None
    assert furnished.mirror.located_by_xet(REPO, COMMIT, "cc" * 32) is None


async def test_a_repo_that_everybody_may_read_needs_nobody_s_token(furnished: Rig) -> None:
    assert (await furnished.mirror.grant(ANONYMOUS, REPO, PINNED)).everybody


async def test_the_files_decide_and_not_the_listing(furnished: Rig) -> None:
    """Of a gated repo everybody sees the tree."""
    await furnished.mirror.grant(ANN, REPO, PINNED)
    furnished.origin.refuse = lambda caller: OriginRefused(403, "gated", code="GatedRepo")
    bob = bearer(Secret("hf_bob"), b"key")
    with pytest.raises(OriginRefused):
        await furnished.mirror.grant(bob, REPO, PINNED)


async def test_a_second_grant_asks_nobody_even_while_the_origin_is_away(furnished: Rig) -> None:
    await furnished.mirror.grant(ANONYMOUS, REPO, PINNED)
    asked = furnished.origin.asked.copy()
    furnished.origin.away = OriginUnreachable("down")
    assert (await furnished.mirror.grant(ANONYMOUS, REPO, PINNED)).commit == COMMIT
    assert furnished.origin.asked == asked


async def test_a_renamed_repo_is_granted_under_its_name(furnished: Rig) -> None:
    old = RepoId(RepoKind.MODEL, "Acme/Old")
    furnished.origin.replies["/api/models/Acme/Old/revision/main"] = OriginReply(307, (("location", INFO),), b"")
    moved = TREE.replace("?", "%3F").replace("%3F", "?")
    furnished.origin.replies[f"/api/models/Acme/Old/tree/{COMMIT}?recursive=true"] = OriginReply(
        307, (("location", moved),), b""
    )
    assert (await furnished.mirror.grant(ANN, old, MAIN)).repo == REPO
    assert (await furnished.mirror.grant(ANN, old, PINNED)).repo == REPO


async def test_a_repo_without_hashes_has_nothing_to_grant(rig: Rig) -> None:
    rig.origin.replies[TREE] = OriginReply(200, (JSON,), b"[]")
    with pytest.raises(OriginRefused) as refused:
        await rig.mirror.grant(ANN, REPO, PINNED)
    assert (refused.value.status, refused.value.code) == (404, "EntryNotFound")
