"""git and git-lfs, the real ones, through the mirror (HUB-PROTOCOL §5.1, §7.28)."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

import pytest

from bench.hub.content import KIB, MIB
from bench.hub.repo import Repo
from tests.kit.asking import Answer, ask
from tests.kit.files import all_files, digest, expected
from tests.kit.git import Git
from tests.kit.node import Node
from tests.kit.stage import Stage
from tests.kit.waiting import until

MEDIA_TYPE = "application/vnd.git-lfs+json"
ATTRIBUTES = "*.safetensors filter=lfs diff=lfs merge=lfs -text\n"


def made(stage: Stage, repo_id: str = "acme/tiny", *, files: int = 1, size: int = 64 * KIB, **traits: bool) -> Repo:
    """A repo whose large files git-lfs is told about."""
    repo = stage.world.add_model(repo_id, **traits)
    repo.put_text(".gitattributes", ATTRIBUTES)
    repo.put_text("config.json", "{}\n")
    for number in range(files):
        repo.put_blob(f"model-{number:03}.safetensors", size)
    repo.commit("Upload")
    repo.grant("alice")
    return repo


def user(stage: Stage) -> Git:
    stage.others_ask()
    home = stage.folder / f"git-{len(list(stage.folder.glob('git-*')))}"
    home.mkdir()
    return Git(home)


def same(stage: Stage, repo: Repo, folder: Path) -> None:
    """The working tree is the repo's head, file by file."""
    for file in all_files(repo):
        assert digest((folder / file.path).read_bytes()) == file.sha256, file.path
        if file.linked:
            stage.wants(file)


async def test_a_plain_clone_passes_through(stage: Stage) -> None:
    repo = stage.world.add_model("acme/plain")
    repo.put_text("config.json", "{}\n")
    repo.commit("Upload")
    node = await stage.node()
    git = user(stage)
    await git.good("clone", f"{node.url}/{repo.id}", "plain")
    same(stage, repo, git.home / "plain")


async def test_clone_brings_the_large_files_of_a_public_repo(stage: Stage) -> None:
    """HUB-PROTOCOL §7.28: the second clone costs the origin no byte of them."""
    repo = made(stage, files=3, size=3 * MIB)
    node = await stage.node(workers=2)
    for name in ("cold", "warm"):
        git = user(stage)
        await git.good("clone", f"{node.url}/{repo.id}", name)
        same(stage, repo, git.home / name)
    hrefs = [record for record in stage.hub.log if record.kind == "cdn"]
    assert all("authorization" not in record.headers for record in hrefs)


async def test_clone_of_a_private_repo_by_the_token_as_password(stage: Stage) -> None:
    """HUB-PROTOCOL §7.28: git comes back with its token after a 401 that asks for Basic credentials."""
    alice = stage.user("alice")
    repo = made(stage, "acme/secret", files=2, private=True)
    node = await stage.node(workers=2)
    git = user(stage)
    git.remember(node.url, alice)
    for name in ("cold", "warm"):
        await git.good("clone", f"{node.url}/{repo.id}", name)
        same(stage, repo, git.home / name)


async def test_strangers_clone_nothing_of_a_private_repo(stage: Stage) -> None:
    """HUB-PROTOCOL §7.17, §7.28: what alice has warmed, bob and nobody may not have."""
    alice, bob = stage.user("alice"), stage.user("bob")
    repo = made(stage, "acme/secret", private=True)
    node = await stage.node()
    git = user(stage)
    git.remember(node.url, alice)
    await git.good("clone", f"{node.url}/{repo.id}", "hers")
    same(stage, repo, git.home / "hers")
    for token in (bob, None, "hf_CANARYnobody"):
        stranger = user(stage)
        if token is not None:
            stranger.remember(node.url, token)
        said = await stranger.run("clone", f"{node.url}/{repo.id}", "taken")
        assert said.code != 0, said.text
        assert not (stranger.home / "taken" / "config.json").exists()
        batch = await lfs_batch(stage, node, repo, token=token or "")
        assert batch.status in (401, 404), batch.transcript


async def test_three_hundred_objects_in_one_batch(stage: Stage) -> None:
    """HUB-PROTOCOL §7.28."""
    repo = made(stage, files=300, size=2 * KIB)
    node = await stage.node()
    git = user(stage)
    await git.good(
        "-c", "lfs.batchsize=300", "-c", "lfs.concurrenttransfers=8", "clone", f"{node.url}/{repo.id}", "many"
    )
    same(stage, repo, git.home / "many")
    asked = [record for record in stage.hub.log if record.kind == "lfs-batch"]
    assert asked


async def test_who_skips_large_files_gets_pointers_and_asks_for_nothing(stage: Stage) -> None:
    """HUB-PROTOCOL §7.28: GIT_LFS_SKIP_SMUDGE=1."""
    repo = made(stage)
    node = await stage.node()
    git = user(stage)
    await git.good("clone", f"{node.url}/{repo.id}", "lean", GIT_LFS_SKIP_SMUDGE="1")
    text = (git.home / "lean" / "model-000.safetensors").read_text()
    assert text.startswith("version https://git-lfs.github.com/spec/v1\n")
    assert not [record for record in stage.hub.log if record.kind in ("lfs-batch", "cdn")]
    await git.good("-C", "lean", "lfs", "pull")
    same(stage, repo, git.home / "lean")


@pytest.mark.parametrize("protocol", ["0", "2"])
async def test_shallow_clone_then_fetch_of_a_new_commit(stage: Stage, protocol: str) -> None:
    """HUB-PROTOCOL §7.28: who fetches after a push gets what was pushed, within the ten seconds of an overture."""
    repo = made(stage)
    node = await stage.node(freshness__ref_ttl="200ms")
    git = user(stage)
    version = ("-c", f"protocol.version={protocol}")
    await git.good(*version, "clone", "--depth=1", f"{node.url}/{repo.id}.git", "shallow")
    assert (await git.good("-C", "shallow", "rev-list", "--count", "HEAD")).strip() == "1"
    same(stage, repo, git.home / "shallow")
    repo.put_text("config.json", '{"new": true}\n')
    repo.put_blob("model-000.safetensors", 70 * KIB, seed="another")
    repo.commit("Change")

    async def fetched() -> bool:
        await git.good(*version, "-C", "shallow", "pull")
        return "new" in (git.home / "shallow" / "config.json").read_text()

    await until(fetched, "the new commit has come", within=20.0)
    same(stage, repo, git.home / "shallow")


async def test_a_push_is_refused_in_plain_words(stage: Stage) -> None:
    repo = made(stage)
    alice = stage.user("alice")
    node = await stage.node()
    git = user(stage)
    git.remember(node.url, alice)
    await git.good("clone", f"{node.url}/{repo.id}", "mine")
    same(stage, repo, git.home / "mine")
    (git.home / "mine" / "config.json").write_text('{"mine": true}\n')
    await git.good("-C", "mine", "commit", "-am", "Mine")
    said = await git.run("-C", "mine", "push")
    assert said.code != 0
    assert "read-only" in said.text, said.text
    assert repo.head() == repo.branches["main"]


async def test_an_lfs_object_is_read_in_ranges_and_only_at_its_own_address(stage: Stage) -> None:
    """HUB-PROTOCOL §5.1, §7.17: the address is the credential; another object's opens nothing."""
    alice = stage.user("alice")
    repo = made(stage, "acme/secret", files=2, size=3 * MIB, private=True)
    node = await stage.node(workers=2)
    first, second = expected(repo, "model-000.safetensors"), expected(repo, "model-001.safetensors")
    batch = await lfs_batch(stage, node, repo, token=alice)
    hrefs = [one["actions"]["download"]["href"].removeprefix(node.url) for one in batch.json["objects"]]
    assert batch.json["transfer"] == "basic"
    stage.wants(first)
    part = await stage.ask(node, hrefs[0], Range="bytes=1000-1999")
    assert (part.status, part.body) == (206, first.blob.read(1000, 1000))
    assert part.headers["ETag"] == f'"{first.sha256}"'
    head = await stage.ask(node, hrefs[0], method="HEAD")
    assert (head.status, head.headers["Content-Length"]) == (200, str(3 * MIB))
    ticket = hrefs[0].partition("?")[2]
    for wrong in (f"/__lfs/{second.sha256}?{ticket}", f"/__lfs/{first.sha256}", f"{hrefs[0]}x"):
        assert (await stage.ask(node, wrong, token=alice)).status == 404


async def test_an_upload_by_lfs_is_refused(stage: Stage) -> None:
    repo = made(stage)
    node = await stage.node()
    answer = await lfs_batch(stage, node, repo, operation="upload")
    assert answer.status == 403
    assert "read-only" in answer.json["message"]


async def lfs_batch(stage: Stage, node: Node, repo: Repo, *, token: str = "", operation: str = "download") -> Answer:
    """The question git-lfs asks about all large files of a repo."""
    stage.others_ask()
    objects = [{"oid": file.sha256, "size": file.size} for file in all_files(repo) if file.linked]
    headers = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}
    if token:
        headers["Authorization"] = "Basic " + b64encode(f"somebody:{token}".encode()).decode()
    body = json.dumps({"operation": operation, "transfers": ["basic", "xet"], "objects": objects}).encode()
    return await ask(node.url, "POST", f"/{repo.id}.git/info/lfs/objects/batch", headers, body)


async def test_a_renamed_repo_is_cloned_by_its_old_name(stage: Stage) -> None:
    """HUB-PROTOCOL §7.20: git and git-lfs follow the redirect, which stays here; one copy is stored."""
    repo = made(stage, "acme/old", size=2 * MIB)
    node = await stage.node()
    first = user(stage)
    await first.good("clone", f"{node.url}/acme/old", "before")
    same(stage, repo, first.home / "before")
    stage.world.rename("acme/old", "acme/new")
    for name in ("acme/old", "ACME/New"):
        git = user(stage)
        await git.good("clone", f"{node.url}/{name}", "after")
        same(stage, repo, git.home / "after")


async def test_files_of_a_gated_repo_are_for_those_who_were_granted_them(stage: Stage) -> None:
    alice, bob = stage.user("alice"), stage.user("bob")
    repo = made(stage, "acme/gated", gated=True)
    node = await stage.node()
    for token, status in ((bob, 403), ("", 401), (alice, 200), (bob, 403), ("", 401)):
        assert (await lfs_batch(stage, node, repo, token=token)).status == status


async def test_git_s_own_compressed_question_passes_through(stage: Stage) -> None:
    """A fetch into a repo with a long history says what it has, in gzip (HUB-PROTOCOL §5.1)."""
    repo = made(stage)
    for number in range(60):
        repo.put_text("config.json", f'{{"number": {number}}}\n')
        repo.commit(f"Change {number}")
    node = await stage.node(freshness__ref_ttl="0s")
    git = user(stage)
    await git.good("clone", f"{node.url}/{repo.id}", "mine")
    for number in range(60):
        await git.good("-C", "mine", "commit", "--quiet", "--allow-empty", "-m", f"Mine {number}")
    repo.put_text("config.json", '{"new": true}\n')
    repo.commit("Change")
    await git.good("-C", "mine", "fetch")
    packed = [record for record in stage.hub.log if record.kind == "git-pack"]
    assert any(record.headers.get("content-encoding") == "gzip" for record in packed)
    same_config = await git.good("-C", "mine", "show", "origin/main:config.json")
    assert "new" in same_config
    for file in all_files(repo):
        if file.linked:
            stage.wants(file)
