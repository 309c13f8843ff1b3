from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from huggingface_hub import hf_hub_url
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import MalformedTarget, RequestRefused
from proxy.hub.names import FileTarget, RepoId, RepoKind, Revision
from proxy.hub.paths import NotMirrored, UnknownTarget, parse, render
from proxy.hub.targets import (
    AuthCheck,
    Commits,
    GitPack,
    GitRefs,
    LfsBatch,
    OtherApi,
    PathsInfo,
    RawFile,
    Refs,
    RepoInfo,
    ResolveFile,
    Target,
    Tree,
    WhoAmI,
    WriteCall,
    XetTelemetry,
    XetToken,
)
from tests.hub.strategies import files, repos, revisions, targets

MAIN = Revision("main")
SHA = "0123456789abcdef0123456789abcdef01234567"
MODEL = RepoId(RepoKind.MODEL, "acme/tiny")
OLD = RepoId(RepoKind.MODEL, "gpt2")
DATASET = RepoId(RepoKind.DATASET, "acme/words")


def method_of(target: Target) -> str:
    return "POST" if isinstance(target, PathsInfo | XetTelemetry) else "GET"


def resolve(repo: RepoId, revision: str, path: str) -> ResolveFile:
    return ResolveFile(FileTarget(repo, Revision(revision), path))


# --- both ways ----------------------------------------------------------------------------------------------------


@given(targets)
def test_what_is_rendered_is_read_back(target: Target) -> None:
    assert parse(render(target), method_of(target)) == target


@given(targets, st.randoms(use_true_random=False))
def test_every_spelling_of_a_target_is_the_same_target(target: Target, chance: st.DataObject) -> None:
    """Escaping letters that need none, in either case of the hexadecimal digits, changes nothing."""
    path, mark, query = render(target).partition("?")

    def respelt(character: str) -> str:
        form = chance.choice(["{}", "%{:02X}", "%{:02x}"])  # type: ignore[attr-defined]
        return form.format(character if form == "{}" else ord(character))

    spelt = "".join(
        respelt(c) if c.isalnum() and path[max(0, at - 2) : at].find("%") < 0 else c for at, c in enumerate(path)
    )
    assert unquote(spelt) == unquote(path)
    assert parse("/" + spelt + mark + query, method_of(target)) == target


@given(targets, targets)
def test_two_targets_have_two_spellings(one: Target, other: Target) -> None:
    assert (render(one) == render(other)) == (one == other)


@given(files)
def test_a_file_is_spelt_as_huggingface_hub_spells_it(file: FileTarget) -> None:
    kind = None if file.repo.kind is RepoKind.MODEL else file.repo.kind.value[:-1]
    if kind == "kernel":
        return
    url = hf_hub_url(file.repo.name, file.path, repo_type=kind, revision=file.revision.text, endpoint="http://hub")
    assert "http://hub" + render(ResolveFile(file)) == url


_KNOWN = """
    api models datasets spaces kernels resolve raw tree refs revision main acme tiny x whoami-v2 repos paths-info
    commits auth-check xet-read-token xet-write-token info lfs objects batch buckets v2 git-receive-pack upload
    %2F %2E%2E .. . a%2Fb a%20b + %C3%BC ü %ff %00 \\ # ?recursive=1 ?x=1 refs%2Fpr%2F1 name.git
"""
_WORDS = st.sampled_from([*_KNOWN.split(), "", SHA])
_METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", ""])


@given(st.lists(_WORDS, max_size=8).map(lambda words: "/" + "/".join(words)), _METHODS)
def test_any_target_is_understood_or_refused_and_what_is_understood_is_stable(raw: str, method: str) -> None:
    try:
        target = parse(raw, method)
    except (MalformedTarget, RequestRefused):
        return
    assert parse(render(target), method) == target


@given(st.lists(_WORDS, max_size=8).map(lambda words: "/" + "/".join(words)))
def test_head_means_what_get_means(raw: str) -> None:
    def meaning(method: str) -> object:
        try:
            return parse(raw, method)
        except (MalformedTarget, RequestRefused) as refusal:
            return type(refusal), str(refusal)

    assert meaning("HEAD") == meaning("GET")


# --- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "target"),
    [
        ("/acme/tiny/resolve/main/config.json", resolve(MODEL, "main", "config.json")),
        ("//acme/tiny/resolve/main/config.json", resolve(MODEL, "main", "config.json")),
        ("/acme/tiny/resolve/main/a/b/c.bin", resolve(MODEL, "main", "a/b/c.bin")),
        ("/gpt2/resolve/main/config.json", resolve(OLD, "main", "config.json")),
        (f"/gpt2/resolve/{SHA}/a/resolve/b", resolve(OLD, SHA, "a/resolve/b")),
        ("/datasets/acme/words/resolve/main/a.csv", resolve(DATASET, "main", "a.csv")),
        ("/datasets/squad/resolve/main/a.csv", resolve(RepoId(RepoKind.DATASET, "squad"), "main", "a.csv")),
        ("/spaces/acme/demo/resolve/main/app.py", resolve(RepoId(RepoKind.SPACE, "acme/demo"), "main", "app.py")),
        ("/kernels/acme/k/resolve/main/x.so", resolve(RepoId(RepoKind.KERNEL, "acme/k"), "main", "x.so")),
        ("/acme/tiny/resolve/refs%2Fpr%2F1/x", resolve(MODEL, "refs/pr/1", "x")),
        ("/acme/tiny/resolve/refs%2fpr%2f1/x", resolve(MODEL, "refs/pr/1", "x")),
        ("/acme/tiny/resolve/refs/pr/1/x", resolve(MODEL, "refs", "pr/1/x")),
        ("/acme/tiny/resolve/main/a+b%20c%23d%25.txt", resolve(MODEL, "main", "a+b c#d%.txt")),
        ("/acme/tiny/resolve/main/%C3%BCn%C3%AF.txt", resolve(MODEL, "main", "ünï.txt")),
        ("/acme/tiny/resolve/main/ünï[1].txt", resolve(MODEL, "main", "ünï[1].txt")),
        ("/acme/tiny/resolve/main/x?download=true", resolve(MODEL, "main", "x")),
        ("/acme/tiny/resolve/main/info/lfs/objects/batch", resolve(MODEL, "main", "info/lfs/objects/batch")),
        ("/acme/tiny/raw/main/x", RawFile(FileTarget(MODEL, MAIN, "x"))),
    ],
)
def test_a_file_is_found_by_its_raw_path(raw: str, target: Target) -> None:
    assert parse(raw, "GET") == target


def test_an_encoded_slash_in_a_file_path_is_refused() -> None:
    with pytest.raises(MalformedTarget, match="%2F"):
        parse("/acme/tiny/resolve/main/a%2Fb", "GET")


@pytest.mark.parametrize(
    "raw", ["/a/resolve/raw/b/c", "/acme/resolve/resolve/main/x", "/datasets/a/resolve/resolve/b/c"]
)
def test_a_path_that_names_files_of_two_repos_is_refused(raw: str) -> None:
    with pytest.raises(MalformedTarget, match="two different things"):
        parse(raw, "GET")


@pytest.mark.parametrize(
    "raw",
    [
        "/",
        "/acme",
        "/acme/tiny",
        "/acme/tiny/resolve",
        "/acme/tiny/resolve/main",
        "/acme/tiny/blob/main/x",
        "/acme/tiny/x/resolve/main/y",
        "/spaces/demo/resolve/main/app.py",
        "/datasets/resolve/main/x",
        "/papers/1234/resolve/main/x",
        "/models/acme/resolve/main/x",
        "/acme/tiny.git/resolve/main/x",
        "/acme/tiny/info/refs",
        "/acme/tiny/info/refs?service=git-upload-pack&x=1",
        "/spaces/demo/info/refs?service=git-upload-pack",
        "/ac%20me/tiny/resolve/main/x",
        "/acme%2Ftiny/resolve/main/x",
        "/" + "a" * 97 + "/tiny/resolve/main/x",
        "/API/models/acme/tiny",
    ],
)
def test_a_well_formed_path_to_nothing_is_unknown(raw: str) -> None:
    with pytest.raises(UnknownTarget):
        parse(raw, "GET")


@pytest.mark.parametrize("spelt", ["acme/tiny", "acme/tiny.git", "gpt2", "datasets/acme/rain.git"])
def test_git_asks_for_refs_and_packs_with_and_without_its_suffix(spelt: str) -> None:
    repo = parse(f"/{spelt.removesuffix('.git')}/resolve/main/x", "GET")
    assert isinstance(repo, ResolveFile)
    assert parse(f"/{spelt}/info/refs?service=git-upload-pack", "GET") == GitRefs(repo.file.repo)
    assert parse(f"/{spelt}/git-upload-pack", "POST") == GitPack(repo.file.repo)
    assert parse(f"/{spelt}/info/lfs/objects/batch", "POST") == LfsBatch(repo.file.repo)


@pytest.mark.parametrize(
    "raw", ["/acme/tiny/info/refs?service=git-receive-pack", "/acme/tiny.git/git-receive-pack", "/gpt2/info/lfs/locks"]
)
def test_a_push_is_a_write(raw: str) -> None:
    assert parse(raw, "POST") == WriteCall(raw)


def test_a_path_that_is_a_file_and_git_s_too_is_refused() -> None:
    with pytest.raises(MalformedTarget, match="two different things"):
        parse("/acme/raw/info/refs?service=git-upload-pack", "GET")


@pytest.mark.parametrize("raw", ["/buckets/acme/b/resolve/x", "/api/buckets/acme/b/tree", "/api/buckets/acme/b"])
def test_buckets_are_not_mirrored_which_is_not_to_say_that_there_are_none(raw: str) -> None:
    with pytest.raises(NotMirrored, match="buckets"):
        parse(raw, "GET")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get"])
def test_files_are_for_get_and_head(method: str) -> None:
    with pytest.raises(RequestRefused, match="GET and HEAD"):
        parse("/acme/tiny/resolve/main/x", method)


# --- the API ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "target"),
    [
        ("/api/models/acme/tiny", RepoInfo(MODEL, None, ())),
        ("/api/models/gpt2", RepoInfo(OLD, None, ())),
        ("/api/models/gpt2/revision/main", RepoInfo(OLD, MAIN, ())),
        ("/api/models/acme/tiny/revision/refs%2Fpr%2F1", RepoInfo(MODEL, Revision("refs/pr/1"), ())),
        ("/api/models/acme/tiny?blobs=1", RepoInfo(MODEL, None, (("blobs", "true"),))),
        (
            "/api/datasets/acme/words?expand=sha&expand=gated",
            RepoInfo(DATASET, None, (("expand", "gated"), ("expand", "sha"))),
        ),
        ("/api/models/acme/tiny/tree/main", Tree(MODEL, MAIN, "", ())),
        (
            "/api/models/acme/tiny/tree/main/a%2Fb%20c?recursive=true",
            Tree(MODEL, MAIN, "a/b c", (("recursive", "true"),)),
        ),
        ("/api/models/acme/tiny/tree/main/a/b%20c", Tree(MODEL, MAIN, "a/b c", ())),
        ("/api/models/gpt2/tree/main/tree/x", Tree(OLD, MAIN, "tree/x", ())),
        ("/api/models/gpt2/refs", Refs(OLD, ())),
        ("/api/models/acme/tiny/refs?include_prs=1", Refs(MODEL, (("include_prs", "true"),))),
        ("/api/models/acme/tiny/commits/main?p=2", Commits(MODEL, MAIN, (("p", "2"),))),
        (
            "/api/models/acme/tiny/commits/main?expand%5B%5D=formatted",
            Commits(MODEL, MAIN, (("expand[]", "formatted"),)),
        ),
        ("/api/models/acme/tiny/auth-check", AuthCheck(MODEL)),
        ("/api/models/acme/tiny/xet-read-token/main", XetToken(MODEL, MAIN)),
        ("/api/whoami-v2", WhoAmI()),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_api_call_is_found_by_its_raw_target(raw: str, target: Target, method: str) -> None:
    assert parse(raw, method) == target


def test_paths_info_is_a_read_by_post() -> None:
    assert parse("/api/models/acme/tiny/paths-info/main", "POST") == PathsInfo(MODEL, MAIN)


@pytest.mark.parametrize(
    ("raw", "repo"),
    [
        ("/api/models", None),
        ("/api/models?search=bert&limit=5", None),
        ("/api/models-tags-by-type", None),
        ("/api/daily_papers", None),
        ("/api/whoami-v2?x=1", None),
        ("/api/spaces/hardware", None),
        ("/api/resolve-cache/models/acme/tiny/x/y?etag=%22a%22", None),
        ("/api/models/a/tree/tree/main", None),
        ("/api/models/acme/tiny?full=1", MODEL),
        ("/api/models/acme/tiny/tree/main?recursive=maybe", MODEL),
        ("/api/models/acme/tiny/tree", MODEL),
        ("/api/models/acme/tiny/discussions", MODEL),
        ("/api/models/acme/tiny/safetensors-metadata/a%2Fb", MODEL),
        ("/api/models/gpt2/likers", OLD),
        ("/api/models/acme/tiny/something/new", MODEL),
        ("/api/models/acme/tiny/paths-info/main", MODEL),
        ("/api/models/acme/tiny/auth-check?x=1", MODEL),
    ],
)
def test_any_other_read_is_passed_on_as_it_came(raw: str, repo: RepoId | None) -> None:
    assert parse(raw, "GET") == OtherApi(raw, repo)


def test_paths_info_with_a_query_is_passed_on() -> None:
    raw = "/api/models/acme/tiny/paths-info/main?x=1"
    assert parse(raw, "POST") == OtherApi(raw, MODEL)


@pytest.mark.parametrize(
    ("method", "raw"),
    [
        ("POST", "/api/models/acme/tiny/preupload/main"),
        ("POST", "/api/models/acme/tiny/commit/main"),
        ("POST", "/api/models/acme/tiny/branch/x"),
        ("DELETE", "/api/models/acme/tiny/tag/x"),
        ("PUT", "/api/models/acme/tiny/settings"),
        ("POST", "/api/models/acme/tiny/discussions"),
        ("POST", "/api/repos/create"),
        ("DELETE", "/api/repos/delete"),
        ("GET", "/api/repos/anything"),
        ("GET", "/api/models/acme/tiny/xet-write-token/main"),
        ("PUT", "/api/models/acme/tiny/paths-info/main"),
        ("POST", "/api/models/acme/tiny"),
        ("POST", "/api/whoami-v2"),
        ("POST", "/api/anything/new"),
        ("POST", "/acme/tiny.git/info/lfs/locks/verify"),
        ("POST", "/datasets/acme/words.git/info/lfs/locks"),
        ("POST", "/acme/tiny/info/lfs/locks/verify"),
        ("POST", "/acme/tiny.git/git-receive-pack"),
        ("GET", "/acme/tiny/info/refs?service=git-receive-pack"),
    ],
)
def test_what_would_change_something_is_a_write(method: str, raw: str) -> None:
    assert parse(raw, method) == WriteCall(raw)


@pytest.mark.parametrize("raw", ["/api/models/acme/tiny", "/api/models/acme/tiny/paths-info/main", "/api/x"])
def test_the_api_takes_no_strange_methods(raw: str) -> None:
    with pytest.raises(RequestRefused, match="API"):
        parse(raw, "OPTIONS")


@given(repos(), revisions)
def test_a_directory_is_the_same_with_its_slashes_encoded_or_not(repo: RepoId, revision: Revision) -> None:
    base = render(Tree(repo, revision, "", ()))
    assert parse(base + "/a/b%20c/d", "GET") == parse(base + "/" + quote("a/b c/d", safe=""), "GET")
