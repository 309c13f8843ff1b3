"""Request targets, read raw."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.hub.messages import Kind
from bench.hub.paths import BadPath, PlainTarget, RepoTarget, parse_target, quote_path, quote_segment
from bench.hub.repo import RepoKind

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("raw", "target"),
    [
        ("/acme/tiny/resolve/main/a/b.txt", RepoTarget(Kind.RESOLVE, RepoKind.MODEL, "acme/tiny", "main", "a/b.txt")),
        ("/gpt2/resolve/main/config.json", RepoTarget(Kind.RESOLVE, RepoKind.MODEL, "gpt2", "main", "config.json")),
        ("/datasets/squad/raw/main/x", RepoTarget(Kind.RAW, RepoKind.DATASET, "squad", "main", "x")),
        ("//kernels/a/b/resolve/v1/x", RepoTarget(Kind.RESOLVE, RepoKind.KERNEL, "a/b", "v1", "x")),
        ("/a/b/resolve/refs%2Fpr%2F1/x%20%23", RepoTarget(Kind.RESOLVE, RepoKind.MODEL, "a/b", "refs/pr/1", "x #")),
        ("/a/b/resolve/main/1+1.txt", RepoTarget(Kind.RESOLVE, RepoKind.MODEL, "a/b", "main", "1+1.txt")),
        ("/api/models/gpt2", RepoTarget(Kind.INFO, RepoKind.MODEL, "gpt2")),
        ("/api/spaces/a/b", RepoTarget(Kind.INFO, RepoKind.SPACE, "a/b")),
        ("/api/models/gpt2/refs", RepoTarget(Kind.REFS, RepoKind.MODEL, "gpt2")),
        ("/api/models/a/b/revision/refs%2Fpr%2F1", RepoTarget(Kind.REVISION, RepoKind.MODEL, "a/b", "refs/pr/1")),
        ("/api/models/a/b/tree/main/sub%2Fdir", RepoTarget(Kind.TREE, RepoKind.MODEL, "a/b", "main", "sub/dir")),
        ("/api/models/a/b/tree/main/sub/dir", RepoTarget(Kind.TREE, RepoKind.MODEL, "a/b", "main", "sub/dir")),
        (
            f"/api/resolve-cache/models/gpt2/{SHA}/c.json",
            RepoTarget(Kind.RESOLVE_CACHE, RepoKind.MODEL, "gpt2", SHA, "c.json"),
        ),
        (
            f"/api/resolve-cache/datasets/a/b/{SHA}/d/c.json",
            RepoTarget(Kind.RESOLVE_CACHE, RepoKind.DATASET, "a/b", SHA, "d/c.json"),
        ),
        ("/api/models", PlainTarget(Kind.LIST, RepoKind.MODEL)),
        ("/api/whoami-v2", PlainTarget(Kind.WHOAMI)),
        ("/api/agent-harnesses", PlainTarget(Kind.OTHER)),
        ("/acme/tiny", PlainTarget(Kind.OTHER)),
        ("/buckets/acme/resolve/main/x", PlainTarget(Kind.OTHER)),
    ],
)
def test_targets(raw: str, target: object) -> None:
    assert parse_target(raw) == target


@pytest.mark.parametrize(
    "raw", ["/a/b/resolve/main/%2E%2E/x", "/a/b/resolve/main/x%00", "/a/b/resolve/main/%5Cx", "/a/b/raw/main/%FF"]
)
def test_what_leaves_the_repo_or_is_no_text_is_refused(raw: str) -> None:
    with pytest.raises(BadPath):
        parse_target(raw)


NAMES = st.text(st.characters(exclude_characters="/\\\0", exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: name != ".."
)


@given(
    revision=st.lists(NAMES, min_size=1, max_size=3).map("/".join),
    path=st.lists(NAMES, min_size=1, max_size=4).map("/".join),
)
def test_a_quoted_target_reads_back(revision: str, path: str) -> None:
    target = parse_target(f"/acme/tiny/resolve/{quote_segment(revision)}/{quote_path(path)}")
    assert target == RepoTarget(Kind.RESOLVE, RepoKind.MODEL, "acme/tiny", revision, path)


def test_renaming_leaves_the_kind_alone() -> None:
    raw = "/datasets/data/resolve/main/data?x=data"
    target = parse_target(raw.partition("?")[0])
    assert isinstance(target, RepoTarget)
    assert target.renamed(raw, "acme/data") == "/datasets/acme/data/resolve/main/data?x=data"
