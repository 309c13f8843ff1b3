"""The Hub's side: repos whose `main` moves, and what every commit of them has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from tests.kit.files import Expected, expected
from tests.kit.stage import Stage

KIB = 1 << 10
MIB = 1 << 20
REPOS = ("acme/one", "acme/two", "acme/three")
SIZES = (900 * KIB, MIB, MIB + 1, 3 * MIB + 7, 5 * MIB, 9 * MIB + 123, 13 * MIB)
OLD_COMMITS = 3
"""How many commits of a repo are asked for."""


@dataclass
class Model:
    """A repo: its commits, the newest last, each with the moment at which it was no longer `main`."""

    repo: str
    commits: list[str] = field(default_factory=list)
    files: dict[str, dict[str, Expected]] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)


class Models:
    """All repos, with what was known when. `now` is the loop's clock."""

    def __init__(self, stage: Stage, chance: Random, now: Callable[[], float]) -> None:
        self._stage = stage
        self._chance = chance
        self._now = now
        self.all = [Model(name) for name in REPOS]
        for model in self.all:
            repo = stage.repo(model.repo)
            for number, size in enumerate(chance.sample(SIZES, 4)):
                repo.put_blob(f"weights-{number}.safetensors", size)
            repo.put_text("config.json", chance.randbytes(700).hex())
            repo.put_text("README.md", "---\nlicense: mit\n---\n" + chance.randbytes(9000).hex())
            self._commit(model)

    def change(self, model: Model) -> None:
        """Another commit on `main`: one file large and one small are others."""
        repo = self._stage.repo(model.repo)
        path = f"weights-{self._chance.randrange(4)}.safetensors"
        repo.put_blob(path, self._chance.choice(SIZES))
        repo.put_text("config.json", self._chance.randbytes(700).hex())
        self._commit(model)

    def some(self) -> Expected:
        """A file of a commit that is not too old."""
        model = self._chance.choice(self.all)
        commit = self._chance.choice(model.commits[-OLD_COMMITS:])
        return self._chance.choice(list(model.files[commit].values()))

    def _commit(self, model: Model) -> None:
        repo = self._stage.repo(model.repo)
        if model.commits:
            model.ended[model.commits[-1]] = self._now()
        commit = repo.commit(f"change {len(model.commits)}")
        model.commits.append(commit)
        model.files[commit] = {path: expected(repo, path, commit) for path in repo.commits[commit].files}
