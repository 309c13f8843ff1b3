"""Three generations of huggingface_hub download through the mirror."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.hub.content import MIB
from bench.hub.messages import Plane
from bench.hub.repo import Repo
from tests.kit.clients import CURRENT, VERSIONS
from tests.kit.files import expected
from tests.kit.node import Node
from tests.kit.stage import Stage
from tests.kit.waiting import until

every_version = pytest.mark.parametrize("version", VERSIONS)


def furnished(stage: Stage) -> Repo:
    """A model with small files, a folder and a large file, a tag and a pull request."""
    repo = stage.repo("acme/tiny")
    repo.put_text("config.json", b'{"model_type": "tiny"}')
    repo.put_text("sub/vocab.txt", b"a\nb\n" * 500)
    repo.put_blob("model.safetensors", 12 * MIB + 5)
    repo.commit("Upload model")
    repo.tag("v1.0")
    repo.pull_request(1)
    return repo


def only_the_mirror_was_asked(stage: Stage) -> bool:
    """No client went to the Hub, its CDN or its CAS by itself."""
    return all("huggingface_hub" not in record.headers.get("user-agent", "") for record in stage.hub.log) and not any(
        record.plane is Plane.CAS for record in stage.hub.log
    )


@every_version
async def test_small_and_large_files_arrive_as_on_the_hub(stage: Stage, version: str) -> None:
    """HUB-PROTOCOL §7.1."""
    repo = furnished(stage)
    node = await stage.node(workers=2)
    client = stage.fresh_client(version, node)
    calls = [{"op": "download", "repo_id": repo.id, "filename": name} for name in ("config.json", "model.safetensors")]
    outcomes = await stage.client(version, node, calls, client=client)
    for outcome in outcomes:
        name = Path(outcome.value["path"]).name
        file = stage.got(expected(repo, name), outcome)
        assert outcome.value["blob"] == file.etag
    refs = client.cache / "models--acme--tiny" / "refs" / "main"
    assert refs.read_text() == repo.head()
    assert only_the_mirror_was_asked(stage)


@every_version
async def test_every_kind_of_revision_leads_to_its_commit(stage: Stage, version: str) -> None:
    """HUB-PROTOCOL §7.2."""
    repo = furnished(stage)
    node = await stage.node()
    head = repo.head()
    revisions = ("v1.0", "refs/pr/1", head, head[:7])
    calls: list[dict[str, Any]] = [
        {"op": "download", "repo_id": repo.id, "filename": "config.json", "revision": revision}
        for revision in (*revisions, "no-such-branch")
    ]
    *found, missing = await stage.client(version, node, calls)
    for outcome in found:
        stage.got(expected(repo, "config.json"), outcome)
        assert f"/snapshots/{head}/" in outcome.value["path"]
    assert missing.raised("RevisionNotFoundError"), missing


@every_version
async def test_a_snapshot_is_cold_then_one_request_then_offline(stage: Stage, version: str) -> None:
    """HUB-PROTOCOL §7.3: the third time the Hub is away and the client's cache is empty."""
    repo = furnished(stage)
    node = await stage.node(workers=2)
    client = stage.fresh_client(version, node)
    snapshot = {"op": "snapshot", "repo_id": repo.id}
    (cold,) = await stage.client(version, node, [snapshot], client=client)
    assert stage.got_all(repo, cold) == {"config.json", "sub/vocab.txt", "model.safetensors"}

    answered = len(node.access_records())
    await stage.client(version, node, [snapshot], client=client)
    again = node.access_records()[answered:]
    assert [record["path"] for record in again] == ["/api/models/acme/tiny/revision/main"], again

    asked = stage.hub.counters.total_requests()
    await stage.hub_off()
    pinned = {**snapshot, "revision": repo.head()}
    (offline,) = await stage.client(version, node, [pinned])
    assert stage.got_all(repo, offline) == set(cold.value["files"])
    assert stage.hub.counters.total_requests() == asked


async def test_only_changed_files_are_downloaded_again(stage: Stage) -> None:
    """HUB-PROTOCOL §7.4, with the `hf` command and a local folder."""
    repo = furnished(stage)
    node = await stage.node()
    client = stage.fresh_client(CURRENT, node)
    words = ("download", repo.id, "--local-dir", str(client.home / "model"))
    stage.wants(expected(repo, "model.safetensors"))
    await stage.command(client, *words)
    repo.put_text("config.json", b'{"model_type": "tinier"}')
    repo.commit("Change the config")
    await until(lambda: main_has_moved(stage, node), "the mirror sees that main moved")
    answered = len(node.access_records())
    await stage.command(client, *words)
    assert (client.home / "model" / "config.json").read_bytes() == b'{"model_type": "tinier"}'
    assert _downloaded(node, answered) == {"config.json"}


async def main_has_moved(stage: Stage, node: Node) -> bool:
    """Whether the mirror has asked again what `main` is."""
    repo = stage.repo("acme/tiny")
    answer = await stage.ask(node, f"/{repo.id}/resolve/main/config.json", method="HEAD")
    return answer.headers["X-Repo-Commit"] == repo.head()


def _downloaded(node: Node, since: int) -> set[str]:
    """Paths of the files that were delivered after so many requests."""
    records = (record for record in node.access_records()[since:] if record["route"] == "resolve")
    return {record["path"] for record in records if (record["method"], record["status"]) == ("GET", 200)}


@every_version
async def test_xet_is_nowhere_to_be_seen(stage: Stage, version: str) -> None:
    """HUB-PROTOCOL §7.5: Xet is enabled in the client, and the Hub offers it."""
    repo = furnished(stage)
    node = await stage.node()
    calls: list[dict[str, Any]] = [
        {"op": "snapshot", "repo_id": repo.id},
        {"op": "api", "method": "model_info", "args": [repo.id], "files_metadata": True},
        {"op": "api", "method": "get_paths_info", "args": [repo.id, ["model.safetensors"]]},
    ]
    outcomes = await stage.client(version, node, calls)
    stage.got_all(repo, outcomes[0])
    assert all(not outcome.error for outcome in outcomes), outcomes
    assert stage.hub.counters.total_requests("cas", "xet-read-token") == 0
    for target in (
        f"/api/models/{repo.id}/tree/main?recursive=true",
        f"/api/models/{repo.id}?blobs=true",
        f"/{repo.id}/resolve/main/model.safetensors",
        f"/{repo.id}/resolve/{repo.head()}/model.safetensors",
    ):
        answer = await stage.ask(node, target, method="GET" if target.startswith("/api") else "HEAD")
        assert answer.status in (200, 307)
        assert "xet" not in answer.transcript.lower(), answer.transcript
