"""git and git-lfs, the real ones, through the mirror (HUB-PROTOCOL §5.1, §7.28)."""

from __future__ import annotations

from pathlib import Path

from bench.hub.content import KIB
from bench.hub.repo import Repo
from tests.kit.files import all_files, digest
from tests.kit.git import Git
from tests.kit.stage import Stage

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
