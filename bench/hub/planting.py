"""A world from a list of repos and files, for load whose generators draw the same list: contents are functions."""

from collections.abc import Iterable, Mapping
from typing import Any

from .content import SyntheticBlob
from .repo import RepoKind
from .world import World


def plant(world: World, repos: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Add models `{id, files: [{path, size, seed, linked}]}` with one commit each; their commit ids by repo id.

    A file holds what `SyntheticBlob(seed, size)` holds, also one that is not linked (kept by git itself).
    """
    commits = {}
    for wanted in repos:
        repo = world.add_model(wanted["id"])
        for file in wanted["files"]:
            if file["linked"]:
                repo.put_blob(file["path"], file["size"], seed=file["seed"])
            else:
                repo.put_bytes(file["path"], SyntheticBlob(file["seed"], file["size"]).read(0, file["size"]))
        commits[repo.id] = repo.commit("Upload model")
    return commits


def hash_all(world: World) -> None:
    """Hash every model's blobs now (1 s per GiB), so that no request has to wait for it."""
    for repo in world.repos(RepoKind.MODEL):
        for blob in list(repo.unhashed()):
            assert blob.sha256, "a digest is computed when it is asked for"
