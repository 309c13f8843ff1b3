"""The repos of a run: what the synthetic Hub serves and the clients ask for, drawn from a seed. Pure.

Sizes of weights are lognormal (published means of the Hub: about 1 GB a file, with a long tail), cut into shards;
beside them each repo has a few small files, as the libraries write them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import orjson

from bench.hub import planting
from bench.hub.world import World

SMALL_FILES = (
    ("config.json", 1_000),
    ("README.md", 10_000),
    ("tokenizer_config.json", 3_000),
    ("generation_config.json", 200),
    ("special_tokens_map.json", 500),
    ("tokenizer.json", 2_000_000),
    ("model.safetensors.index.json", 25_000),
    ("vocab.json", 800_000),
)
"""Path and bytes, in the order in which a repo gets them."""
SMALLEST_WEIGHTS = 4096


@dataclass(frozen=True, slots=True)
class File:
    """One file. `linked` files are kept by LFS and come from the "CDN"; the others are git's own."""

    path: str
    size: int
    seed: str
    linked: bool


@dataclass(frozen=True, slots=True)
class Repo:
    """A model repo with one commit."""

    id: str
    commit: str
    files: tuple[File, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def weights(self) -> tuple[File, ...]:
        return tuple(file for file in self.files if file.linked)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All repos by what part they play: `popular` in order of rank, `releases` in order of birth, and `once`, each of
    which is asked for a single time."""

    popular: tuple[Repo, ...]
    releases: tuple[Repo, ...] = ()
    once: tuple[Repo, ...] = ()

    def __iter__(self) -> Iterator[Repo]:
        yield from self.popular
        yield from self.releases
        yield from self.once

    @property
    def size(self) -> int:
        return sum(repo.size for repo in self)


@dataclass(frozen=True, slots=True)
class Extent:
    """How many repos, and how large. `mean_bytes` and `sigma` are of the weights of a repo, `most_bytes` their limit;
    shards are at most `shard_bytes`. `small_files` of `SMALL_FILES`, each times `small_scale`."""

    popular: int
    releases: int
    once: int
    mean_bytes: int
    sigma: float
    most_bytes: int
    shard_bytes: int
    small_files: int
    small_scale: float


def drawn(extent: Extent, seed: int) -> Catalogue:
    """The catalogue of a seed: the same repos to the byte, whoever draws it."""
    return committed(sketched(extent, seed))


def sketched(extent: Extent, seed: int) -> Catalogue:
    """As `drawn`, without commit ids, for which the small files would have to be made."""
    popular, releases, once = (
        tuple(_repo(extent, seed, role, number) for number in range(count))
        for role, count in (("popular", extent.popular), ("release", extent.releases), ("once", extent.once))
    )
    return Catalogue(popular, releases, once)


def committed(catalogue: Catalogue) -> Catalogue:
    """The same, with the commit ids that the synthetic Hub will give."""
    world = World()
    commits = planting.plant(world, to_plain(catalogue)["repos"])

    def with_commits(repos: tuple[Repo, ...]) -> tuple[Repo, ...]:
        return tuple(Repo(repo.id, commits[repo.id], repo.files) for repo in repos)

    return Catalogue(with_commits(catalogue.popular), with_commits(catalogue.releases), with_commits(catalogue.once))


def write(catalogue: Catalogue, path: Path) -> None:
    path.write_bytes(orjson.dumps(to_plain(catalogue)))


def read(path: Path) -> Catalogue:
    return from_plain(orjson.loads(path.read_bytes()))


def to_plain(catalogue: Catalogue) -> dict[str, Any]:
    """As JSON: `repos` with their files, and how many of them play which part."""
    parts = [len(catalogue.popular), len(catalogue.releases), len(catalogue.once)]
    return {"parts": parts, "repos": [_plain_repo(repo) for repo in catalogue]}


def from_plain(plain: Mapping[str, Any]) -> Catalogue:
    repos = [Repo(one["id"], one["commit"], tuple(File(**file) for file in one["files"])) for one in plain["repos"]]
    popular, releases, _ = plain["parts"]
    return Catalogue(
        tuple(repos[:popular]), tuple(repos[popular : popular + releases]), tuple(repos[popular + releases :])
    )


def _plain_repo(repo: Repo) -> dict[str, Any]:
    files = [{"path": file.path, "size": file.size, "seed": file.seed, "linked": file.linked} for file in repo.files]
    return {"id": repo.id, "commit": repo.commit, "files": files}


def _repo(extent: Extent, seed: int, role: str, number: int) -> Repo:
    name = f"{seed}/{role}/{number}"
    random = Random(name)
    small = [
        File(path, max(1, int(size * extent.small_scale)), f"{name}/{path}", linked=False)
        for path, size in SMALL_FILES[: extent.small_files]
    ]
    return Repo(f"{role}-{number % 97:02d}/model-{number:05d}", "", (*small, *_shards(extent, name, random)))


def _shards(extent: Extent, name: str, random: Random) -> list[File]:
    total = _weights_bytes(extent, random)
    count = -(-total // extent.shard_bytes)
    files = []
    for number in range(count):
        size = min(extent.shard_bytes, total - number * extent.shard_bytes)
        path = "model.safetensors" if count == 1 else f"model-{number + 1:05d}-of-{count:05d}.safetensors"
        files.append(File(path, size, f"{name}/{path}", linked=True))
    return files


def _weights_bytes(extent: Extent, random: Random) -> int:
    """Lognormal with the mean that was asked for, whatever sigma."""
    if extent.sigma == 0:
        return extent.mean_bytes
    location = math.log(extent.mean_bytes) - extent.sigma**2 / 2
    return max(SMALLEST_WEIGHTS, min(extent.most_bytes, int(random.lognormvariate(location, extent.sigma))))
