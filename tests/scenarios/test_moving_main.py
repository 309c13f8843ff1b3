"""Branches that move, origins that ask for a rest, origins that are gone."""

from __future__ import annotations

from bench.hub.content import MIB
from bench.hub.faults import Fail, RateLimited
from tests.kit.clients import CURRENT
from tests.kit.files import expected
from tests.kit.reader import Ending
from tests.kit.stage import Stage
from tests.kit.waiting import until


async def test_main_moves_between_head_and_get(stage: Stage) -> None:
    """HUB-PROTOCOL §7.30: new bytes of the same size never come under the old ETag."""
    repo = stage.repo("acme/tiny")
    size = 3 * MIB
    repo.put_blob("model.safetensors", size)
    repo.commit("One")
    old = expected(repo, "model.safetensors")
    node = await stage.node(freshness__ref_ttl="0s")
    head = await stage.ask(node, old.target("main"), method="HEAD")
    repo.put_blob("model.safetensors", size)
    repo.commit("Two")
    new = expected(repo, "model.safetensors")
    assert head.headers["X-Linked-Etag"] == f'"{old.etag}"'
    followed = await stage.read(node, old)  # where the HEAD's redirect led
    assert head.headers["Location"] == old.target()
    assert followed.complete, followed
    afterwards = await stage.read(node, new, revision="main")
    assert afterwards.complete, afterwards


async def test_a_branch_is_asked_again_after_its_ttl(stage: Stage) -> None:
    repo = stage.repo("acme/tiny")
    repo.put_text("config.json", "one")
    repo.commit("One")
    node = await stage.node()
    assert (await stage.read(node, expected(repo, "config.json"), revision="main")).complete
    repo.put_text("config.json", "two")
    repo.commit("Two")

    async def sees_two() -> bool:
        answer = await stage.ask(node, "/acme/tiny/resolve/main/config.json", method="HEAD")
        return answer.headers["X-Repo-Commit"] == repo.head()

    await until(sees_two, "the mirror sees that main moved", within=5.0)


async def test_while_the_hub_says_429_what_is_cached_is_served(stage: Stage) -> None:
    """HUB-PROTOCOL §7.31: also `main`, from what was known of it; and the mirror leaves the Hub alone."""
    file = stage.blob("acme/tiny", "model.safetensors", 3 * MIB)
    unseen = stage.blob("acme/other", "model.safetensors", 3 * MIB)
    node = await stage.node(freshness__ref_ttl="0s")
    assert (await stage.read(node, file, revision="main")).complete
    stage.faults.add(RateLimited(seconds=30), kinds=("api", "resolve"))
    asked = stage.hub.counters.total_requests()
    for _ in range(10):
        assert (await stage.read(node, file, revision="main")).complete
        assert (await stage.read(node, file)).complete
    assert stage.hub.counters.total_requests() - asked <= 3, "the mirror backs off"
    refused = await stage.read(node, unseen)
    assert refused.ending is Ending.REFUSED
    assert refused.status == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 31


async def test_a_client_waits_out_a_429_by_itself(stage: Stage) -> None:
    file = stage.blob("acme/tiny", "model.safetensors", 3 * MIB)
    node = await stage.node()
    stage.faults.add(RateLimited(seconds=1), kinds=("resolve",), times=1)
    (outcome,) = await stage.client(
        CURRENT, node, [{"op": "download", "repo_id": "acme/tiny", "filename": "model.safetensors"}]
    )
    stage.got(file, outcome)


async def test_what_was_known_is_served_stale_while_the_hub_fails(stage: Stage) -> None:
    repo = stage.repo("acme/tiny")
    repo.put_text("config.json", "{}")
    repo.put_blob("model.safetensors", 2 * MIB)
    repo.commit("Upload")
    node = await stage.node(freshness__ref_ttl="0s", freshness__listing_ttl="0s")
    (warm,) = await stage.client(CURRENT, node, [{"op": "snapshot", "repo_id": repo.id}])
    stage.got_all(repo, warm)
    stage.faults.add(Fail(503), kinds=("api", "resolve"))
    (stale,) = await stage.client(CURRENT, node, [{"op": "snapshot", "repo_id": repo.id}])
    assert stage.got_all(repo, stale) == {"config.json", "model.safetensors"}
    answer = await stage.ask(node, f"/{repo.id}/resolve/main/config.json", method="HEAD")
    assert "stale" in answer.headers["Cache-Status"], answer.transcript


async def test_a_whole_snapshot_while_the_hub_is_off(stage: Stage) -> None:
    """The Hub's ports are closed: `main` by what was known, and the pinned commit with no request at all."""
    repo = stage.repo("acme/tiny")
    repo.put_text("config.json", "{}")
    repo.put_blob("model.safetensors", 2 * MIB)
    repo.commit("Upload")
    node = await stage.node()
    (warm,) = await stage.client(CURRENT, node, [{"op": "snapshot", "repo_id": repo.id}])
    stage.got_all(repo, warm)
    await stage.hub_off()
    snapshot = {"op": "snapshot", "repo_id": repo.id}
    (by_name,) = await stage.client(CURRENT, node, [snapshot])
    stage.got_all(repo, by_name)


async def test_what_is_not_here_while_the_hub_is_off_is_a_clear_error(stage: Stage) -> None:
    """HUB-PROTOCOL §7.32: 5xx on the API, 429 on files, and each with words."""
    file = stage.blob("acme/tiny", "model.safetensors", 2 * MIB)
    node = await stage.node(origin__retries=0)
    await stage.hub_off()
    refused = await stage.read(node, file)
    assert refused.ending is Ending.REFUSED
    listing = await stage.ask(node, "/api/models/acme/tiny/tree/main")
    assert listing.status in (502, 503, 504), listing.transcript
    assert listing.headers["X-Error-Message"], listing.transcript
