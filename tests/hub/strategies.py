"""What the Hub's names can be, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from proxy.core.secret import Secret
from proxy.hub import paths
from proxy.hub.names import FileTarget, RepoId, RepoKind, Revision
from proxy.hub.targets import (
    AuthCheck,
    Commits,
    PathsInfo,
    Query,
    RawFile,
    Refs,
    RepoInfo,
    ResolveFile,
    Target,
    Tree,
    WhoAmI,
    XetReconstruction,
    XetTelemetry,
    XetToken,
    XetXorb,
)

_VERBS = paths.FILE_VERBS | paths.API_VERBS
_TEXT = st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/\\")

commits = st.text("0123456789abcdef", min_size=40, max_size=40)
hashes = st.text("0123456789abcdef", min_size=64, max_size=64)
id_segments = st.from_regex(r"[aZ0_]{1,4}(?:[-.][aZ0_]{1,3}){0,2}", fullmatch=True).filter(
    lambda text: text not in _VERBS | paths.RESERVED
)
segments = st.text(_TEXT, min_size=1, max_size=60).filter(lambda text: text not in (".", ".."))
file_paths = st.lists(segments | st.sampled_from(sorted(_VERBS)), min_size=1, max_size=5).map("/".join)
revisions = (
    st.sampled_from(["main", "HEAD", "refs/pr/1", "refs/convert/parquet", "v1.0+cu", "a%2Fb", "feature/ü#1"])
    | commits
    | st.lists(segments, min_size=1, max_size=3).map("/".join)
).map(Revision)


@st.composite
def repos(draw: st.DrawFn) -> RepoId:
    kind = draw(st.sampled_from(RepoKind))
    one = kind in (RepoKind.MODEL, RepoKind.DATASET) and draw(st.booleans())
    names = draw(st.lists(id_segments, min_size=1 if one else 2, max_size=1 if one else 2))
    return RepoId(kind, "/".join(names))


files = st.builds(FileTarget, repos(), revisions, file_paths)
texts = st.text(_TEXT, max_size=20)


def query(
    flags: tuple[str, ...] = (), words: tuple[str, ...] = (), lists: tuple[str, ...] = ()
) -> st.SearchStrategy[Query]:
    """Normalised queries of the given parameters."""
    pairs = [st.tuples(st.just(name), st.just("true")) for name in flags]
    pairs += [st.tuples(st.just(name), texts) for name in words]
    once = st.lists(st.one_of(*pairs), unique_by=lambda pair: pair[0]) if pairs else st.just([])
    many = st.lists(st.tuples(st.sampled_from(lists), texts), unique=True) if lists else st.just([])
    return st.builds(lambda first, second: tuple(sorted(first + second)), once, many)


targets: st.SearchStrategy[Target] = st.one_of(
    st.builds(ResolveFile, files),
    st.builds(RawFile, files),
    st.builds(RepoInfo, repos(), st.none() | revisions, query(("blobs", "securityStatus"), (), ("expand",))),
    st.builds(Tree, repos(), revisions, st.just("") | file_paths, query(("recursive", "expand"), ("cursor", "limit"))),
    st.builds(PathsInfo, repos(), revisions),
    st.builds(Refs, repos(), query(("include_prs",))),
    st.builds(Commits, repos(), revisions, query((), ("p", "limit"), ("expand[]",))),
    st.builds(AuthCheck, repos()),
    st.builds(XetToken, repos(), revisions),
    st.just(WhoAmI()),
    st.builds(XetReconstruction, st.sampled_from([1, 2]), hashes),
    st.builds(XetXorb, hashes, st.integers(0, 999_999_999), st.text("aZ09-_", max_size=20).map(Secret)),
    st.just(XetTelemetry()),
)
