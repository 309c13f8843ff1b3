"""Who may read what, and what those who may not are told."""

from __future__ import annotations

from typing import Any

import pytest

from bench.hub.content import MIB
from bench.hub.repo import Repo
from tests.kit.clients import CURRENT, VERSIONS
from tests.kit.files import expected
from tests.kit.node import Node
from tests.kit.reader import Ending
from tests.kit.stage import Stage
from tests.kit.waiting import until

LARGE = "model.safetensors"


def guarded(stage: Stage, repo_id: str = "acme/secret", **traits: bool) -> Repo:
    repo = stage.world.add_model(repo_id, **traits)
    repo.put_text("config.json", b"{}")
    repo.put_blob(LARGE, 3 * MIB)
    repo.commit("Upload")
    repo.grant("alice")
    return repo


def download(repo: Repo, filename: str = LARGE, **how: Any) -> dict[str, Any]:
    return {"op": "download", "repo_id": repo.id, "filename": filename, **how}


async def test_a_private_file_is_visible_to_its_reader_alone(stage: Stage) -> None:
    """HUB-PROTOCOL §7.17: what alice has warmed, bob and nobody may not even know of."""
    alice, bob = stage.user("alice"), stage.user("bob")
    repo = guarded(stage, private=True)
    node = await stage.node(workers=2)
    file = expected(repo, LARGE)
    warmed = await stage.read(node, file, token=alice)
    assert warmed.complete, warmed
    for token in (bob, None, "hf_CANARYnobody"):
        for revision in (None, "main"):
            refused = await stage.read(node, file, token=token, revision=revision)
            assert refused.ending is Ending.REFUSED, refused
            assert refused.status in (401, 404), refused
    for target in (f"/api/models/{repo.id}/tree/main", f"/api/models/{repo.id}"):
        assert (await stage.ask(node, target, token=alice)).status == 200
        assert (await stage.ask(node, target, token=bob)).status == 404
        assert (await stage.ask(node, target)).status == 401


async def test_a_right_that_is_revoked_ends_with_its_ttl(stage: Stage) -> None:
    """HUB-PROTOCOL §7.17."""
    alice = stage.user("alice")
    repo = guarded(stage, private=True)
    node = await stage.node(freshness__allow_ttl="500ms")
    file = expected(repo, LARGE)
    assert (await stage.read(node, file, token=alice)).complete
    repo.revoke("alice")

    async def refused() -> bool:
        return (await stage.read(node, file, token=alice, span=(0, 10))).ending is Ending.REFUSED

    await until(refused, "alice's right has ended", within=5.0)


async def test_private_files_are_closed_while_the_origin_is_away(stage: Stage) -> None:
    """Once the right has run out nobody can prove it; a public file stays open."""
    alice = stage.user("alice")
    repo, public = guarded(stage, private=True), stage.blob("acme/open", LARGE, 2 * MIB)
    node = await stage.node(freshness__allow_ttl="500ms")
    file = expected(repo, LARGE)
    assert (await stage.read(node, file, token=alice)).complete
    assert (await stage.read(node, public)).complete
    await stage.hub_off()

    async def refused() -> bool:
        return (await stage.read(node, file, token=alice, span=(0, 10))).ending is Ending.REFUSED

    await until(refused, "the private file is closed", within=5.0)
    assert (await stage.read(node, public)).complete


async def test_a_token_goes_to_the_hub_and_nowhere_else(stage: Stage) -> None:
    """HUB-PROTOCOL §7.18: the oracle looks through logs, metrics, disks and the CDN's requests."""
    alice = stage.user("alice")
    repo = guarded(stage, private=True)
    node = await stage.node(workers=2)
    (outcome,) = await stage.client(CURRENT, node, [download(repo)], token=alice)
    stage.got(expected(repo, LARGE), outcome)
    shown = [record for record in stage.hub.log if record.headers.get("authorization") == f"Bearer {alice}"]
    assert shown, "the Hub saw alice's own token"


@pytest.mark.parametrize("version", VERSIONS)
async def test_refusals_raise_what_they_raise_at_the_hub(stage: Stage, version: str) -> None:
    """HUB-PROTOCOL §7.16, over http."""
    alice, bob = stage.user("alice"), stage.user("bob")
    private, gated = guarded(stage, private=True), guarded(stage, "acme/gated", gated=True)
    disabled = guarded(stage, "acme/disabled")
    disabled.disable()
    open_repo = guarded(stage, "acme/open")
    node = await stage.node()
    nowhere = {"op": "download", "repo_id": "acme/nowhere", "filename": "config.json"}
    calls = [
        nowhere,
        download(private),
        download(gated),
        download(open_repo, "nowhere.json"),
        download(open_repo, revision="nowhere"),
        download(disabled),
    ]
    anonymous = await stage.client(version, node, [dict(call) for call in calls])
    by_bob = await stage.client(version, node, [dict(call) for call in calls], token=bob)
    by_alice = await stage.client(version, node, [download(private), download(gated)], token=alice)
    wrong = await stage.client(version, node, [download(open_repo)], token="hf_CANARYwrong0000")
    missing = "EntryNotFoundError"
    classes = ["RepositoryNotFoundError", "RepositoryNotFoundError", "GatedRepoError", missing, "RevisionNotFoundError"]
    for outcomes in (anonymous, by_bob):
        for name, outcome in zip(classes, outcomes, strict=False):
            assert outcome.raised(name), (name, outcome)
        assert outcomes[5].error, outcomes[5]
    assert not anonymous[1].raised("GatedRepoError")
    for repo, outcome in zip((private, gated), by_alice, strict=True):
        stage.got(expected(repo, LARGE), outcome)
    assert wrong[0].raised("HfHubHTTPError"), wrong[0]
    assert not wrong[0].raised("RepositoryNotFoundError"), "a bad token is not a missing repo"


async def test_a_missing_file_names_its_commit_so_that_clients_stop_asking(stage: Stage) -> None:
    repo = guarded(stage)
    node = await stage.node()
    answer = await stage.ask(node, f"/{repo.id}/resolve/main/nowhere.json", method="HEAD")
    assert (answer.status, answer.headers["X-Error-Code"]) == (404, "EntryNotFound")
    assert answer.headers["X-Repo-Commit"] == repo.head()


async def test_writes_are_refused_in_plain_words(stage: Stage) -> None:
    repo = guarded(stage)
    node = await stage.node()
    for method, target in [("POST", f"/api/models/{repo.id}/commit/main"), ("DELETE", "/api/repos/delete")]:
        answer = await stage.ask(node, target, method=method)
        assert answer.status == 403, answer.transcript
    assert "read-only" in answer.transcript or "upload" in answer.transcript, answer.transcript


async def test_rights_of_one_worker_are_not_assumed_by_another(stage: Stage) -> None:
    """Two workers, one file in the shared store; bob is refused whichever he comes to."""
    alice, bob = stage.user("alice"), stage.user("bob")
    repo = guarded(stage, private=True)
    node: Node = await stage.node(workers=2)
    file = expected(repo, LARGE)
    for _ in range(6):
        assert (await stage.read(node, file, token=alice)).complete
    for _ in range(12):
        assert (await stage.read(node, file, token=bob)).ending is Ending.REFUSED
