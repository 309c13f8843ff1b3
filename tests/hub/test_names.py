from __future__ import annotations

import pytest

from proxy.hub.names import FileTarget, RepoId, RepoKind, Revision

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "is_commit"),
    [(SHA, True), (SHA.upper(), False), (SHA[:39], False), (SHA + "0", False), (SHA + "\n", False), ("main", False)],
)
def test_only_forty_lower_case_digits_are_a_commit(text: str, is_commit: bool) -> None:
    assert Revision(text).is_commit is is_commit


@pytest.mark.parametrize(
    ("kind", "text"),
    [(RepoKind.MODEL, "a/b"), (RepoKind.DATASET, "datasets/a/b"), (RepoKind.SPACE, "spaces/a/b")],
)
def test_a_repo_is_named_as_in_a_file_url(kind: RepoKind, text: str) -> None:
    assert str(RepoId(kind, "a/b")) == text


def test_a_file_at_a_commit_is_the_same_file() -> None:
    file = FileTarget(RepoId(RepoKind.MODEL, "a/b"), Revision("main"), "x/y")
    assert file.at(SHA) == FileTarget(file.repo, Revision(SHA), "x/y")
