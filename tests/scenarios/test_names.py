"""Names that change under a mirror: other cases, renames, branches that go, commits that are forgotten, restarts."""

from __future__ import annotations

import asyncio

from bench.hub.content import MIB
from bench.hub.messages import Plane
from tests.kit.clients import CURRENT
from tests.kit.files import expected
from tests.kit.stage import Stage
from tests.kit.waiting import until

LARGE = "model.safetensors"


async def test_another_case_leads_to_the_repo_and_opens_nothing(stage: Stage) -> None:
    alice = stage.user("alice")
    secret = stage.world.add_model("Acme/Secret", private=True)
    secret.put_text("config.json", "{}")
    secret.commit("Upload")
    secret.grant("alice")
    node = await stage.node(workers=2, freshness__allow_ttl="60s")
    for _ in range(4):
        assert (await stage.read(node, expected(secret, "config.json"), token=alice)).complete
    for name in ("acme/secret", "Acme/SECRET"):
        for token in ("", "hf_CANARYnobody"):
            for target in (f"/{name}/resolve/main/config.json", f"/{name}/resolve/{secret.head()}/config.json"):
                assert (await stage.ask(node, target, token=token)).status in (401, 404), (name, token)
            assert (await stage.ask(node, f"/api/models/{name}", token=token)).status in (401, 404)
        answer = await stage.ask(node, f"/{name}/resolve/main/config.json", token=alice)
        assert answer.status == 307, answer.transcript
        assert answer.headers["Location"] == "/Acme/Secret/resolve/main/config.json"


async def test_a_renamed_repo_is_found_under_its_old_name(stage: Stage) -> None:
    file = stage.blob("acme/old", LARGE, 2 * MIB)
    node = await stage.node(workers=2)
    assert (await stage.read(node, file, revision="main")).complete
    repo = stage.world.rename("acme/old", "acme/new")
    await asyncio.sleep(1.1)
    calls = [{"op": "download", "repo_id": "acme/old", "filename": LARGE}, {"op": "snapshot", "repo_id": "acme/old"}]
    one, all_of_it = await stage.client(CURRENT, node, calls)
    stage.got(expected(repo, LARGE), one)
    stage.got_all(repo, all_of_it)


async def test_an_old_name_costs_the_hub_no_more_than_the_new_one(stage: Stage) -> None:
    """The oldest names are the most used (`gpt2`): what is warm under the new one is served under the old one too, and
    goes on being served while the Hub is away."""
    file = stage.blob("acme/old", LARGE, 2 * MIB)
    repo = stage.world.rename("acme/old", "acme/new")
    node = await stage.node(freshness__listing_ttl="60s", freshness__ref_ttl="60s", freshness__allow_ttl="60s")
    calls = [{"op": "snapshot", "repo_id": "acme/old", "revision": revision} for revision in ("main", repo.head())]
    for outcome in await stage.client(CURRENT, node, calls):
        stage.got_all(repo, outcome)
    asked = len(stage.hub.log)
    for outcome in await stage.client(CURRENT, node, calls):
        stage.got_all(repo, outcome)
    assert len(stage.hub.log) == asked, "the Hub was asked again"
    await stage.hub_off()
    for outcome in await stage.client(CURRENT, node, calls):
        stage.got_all(repo, outcome)
    assert file.size


async def test_an_old_name_tells_a_stranger_nothing_a_member_has_warmed(stage: Stage) -> None:
    alice = stage.user("alice")
    secret = stage.world.add_model("acme/old", private=True)
    secret.put_text("config.json", "{}")
    secret.commit("Upload")
    secret.grant("alice")
    stage.world.rename("acme/old", "acme/new")
    node = await stage.node(freshness__listing_ttl="60s", freshness__allow_ttl="60s")
    doors = ("/acme/old/resolve/main/config.json", "/api/models/acme/old", "/api/models/acme/old/tree/main")
    for _ in range(2):
        for door in doors:
            answer = await stage.ask(node, door, token=alice)
            assert (answer.status, "acme/new" in answer.headers["Location"]) == (307, True), answer.transcript
            assert (await stage.ask(node, answer.headers["Location"], token=alice)).status in (200, 307)
        for door in doors:
            answer = await stage.ask(node, door)
            assert (answer.status, answer.headers.get("Location")) == (401, None), answer.transcript


async def test_a_deleted_branch_is_gone_and_stays_gone_while_the_hub_is_away(stage: Stage) -> None:
    file = stage.blob("acme/tiny", LARGE, 2 * MIB)
    repo = stage.repo("acme/tiny")
    repo.branch("dev")
    node = await stage.node()
    assert (await stage.read(node, file)).complete
    doors = (f"/acme/tiny/resolve/dev/{LARGE}", "/api/models/acme/tiny/tree/dev", "/api/models/acme/tiny/revision/dev")
    for door in doors:
        assert (await stage.ask(node, door)).status in (200, 307)
    repo.delete_branch("dev")
    await asyncio.sleep(1.1)
    for door in doors:
        answer = await stage.ask(node, door)
        assert (answer.status, answer.headers.get("X-Error-Code")) == (404, "RevisionNotFound"), answer.transcript
    await stage.hub_off()
    for door in doors:
        assert (await stage.ask(node, door)).status in (429, 502), door
    assert (await stage.read(node, file)).complete, "the commit is not gone"


async def test_a_squashed_branch_is_served_at_its_new_commit_at_once(stage: Stage) -> None:
    """The ref is still fresh here when the Hub forgets the commit it points to."""
    stage.blob("acme/tiny", LARGE, 2 * MIB)
    repo = stage.repo("acme/tiny")
    node = await stage.node(freshness__ref_ttl="120s")
    before = repo.head()
    assert (await stage.ask(node, "/api/models/acme/tiny/revision/main")).json["sha"] == before
    repo.put_text("config.json", "{}")
    repo.commit("Squash")
    repo.forget(before)
    tree = await stage.ask(node, "/api/models/acme/tiny/tree/main")
    assert (tree.status, tree.headers["X-Repo-Commit"]) == (200, repo.head()), tree.transcript
    assert (await stage.ask(node, "/api/models/acme/tiny/revision/main")).json["sha"] == repo.head()


async def test_a_public_repo_read_with_a_token_only_is_served_after_a_restart_without_the_hub(stage: Stage) -> None:
    alice = stage.user("alice")
    file = stage.blob("acme/tiny", LARGE, 2 * MIB)
    node = await stage.node(workers=2)
    assert (await stage.read(node, file, token=alice, revision="main")).complete
    answers = stage.hub.counters.requests

    await until(lambda: sum(count for kind, count in answers.items() if kind == "resolve") >= 3, "it is seen as public")
    await stage.quiet(node)
    await stage.stop(node)
    await stage.hub_off(Plane.HUB, Plane.CDN)
    await stage.start(node)
    for token in (alice, None):
        assert (await stage.read(node, file, token=token)).complete
        assert (await stage.read(node, file, token=token, revision="main")).complete
