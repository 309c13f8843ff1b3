"""What the Hub says about a file is believed when it is consistent, and only then."""

from __future__ import annotations

import pytest
from yarl import URL

from proxy.core.blob import BlobKey
from proxy.core.errors import OriginLied, OriginRefused
from proxy.core.sizes import CHUNK
from proxy.hub.facts import FileFacts, FoundFile, Moved
from proxy.hub.names import FileTarget, RepoId, RepoKind, Revision
from proxy.origin.answers import LookAt, read_file_head
from proxy.origin.head import Head
from proxy.origin.redirects import RedirectRules
from tests.origin.liar import COMMIT, SHA256

HUB = URL("https://huggingface.co")
RULES = RedirectRules(HUB, (".hf.co",), allow_private=False)
REPO = RepoId(RepoKind.MODEL, "Acme/Tiny")
TARGET = FileTarget(REPO, Revision("main"), "dir/weights #1.bin")
ASKED = HUB / "Acme/Tiny/resolve/main"
SHA1 = "d" * 40
GIT = (("X-Repo-Commit", COMMIT), ("ETag", f'"{SHA1}"'), ("Content-Length", "7"))
LINKED = (("X-Repo-Commit", COMMIT), ("X-Linked-ETag", f'"{SHA256}"'), ("X-Linked-Size", "70"))
CDN = ("Location", "https://us.hf.co/x?X-Amz-Signature=1")


def read(
    status: int, *fields: tuple[str, str], target: FileTarget = TARGET, commit: str | None = None
) -> FoundFile | Moved | LookAt:
    return read_file_head(Head.of(status, fields), ASKED, target, RULES, commit)


def without(name: str, fields: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple(field for field in fields if field[0] != name)


def test_a_small_file_is_known_by_its_git_sha1() -> None:
    assert read(200, *GIT) == FoundFile(COMMIT, FileFacts(SHA1, 7, False, None))


def test_a_large_file_is_known_by_its_sha256_from_the_redirect_itself() -> None:
    expected = FoundFile(COMMIT, FileFacts(SHA256, 70, True, BlobKey.sha256(SHA256)))
    assert read(302, *LINKED, CDN, ("Content-Length", "1234"), ("ETag", '"x"')) == expected


def test_another_mirror_answers_with_the_file_itself() -> None:
    assert read(200, *LINKED, ("ETag", f'"{SHA256}"'), ("Content-Length", "70")) == FoundFile(
        COMMIT, FileFacts(SHA256, 70, True, BlobKey.sha256(SHA256))
    )


def test_a_redirect_to_the_resolve_cache_is_to_be_looked_at() -> None:
    where = "/api/resolve-cache/models/Acme/Tiny/abc/x?etag=%22d%22"
    assert read(307, ("Location", where), ("X-Repo-Commit", COMMIT)) == LookAt(
        HUB.join(URL(where, encoded=True)), COMMIT
    )


def test_a_renamed_repo_has_moved() -> None:
    moved = read(307, ("Location", "/acme/tiny/resolve/main/dir/weights%20%231.bin"))
    assert moved == Moved(FileTarget(RepoId(RepoKind.MODEL, "acme/tiny"), Revision("main"), TARGET.path))


def test_a_redirect_to_the_commit_of_the_same_file_is_to_be_looked_at() -> None:
    look = read(307, ("Location", f"/Acme/Tiny/resolve/{COMMIT}/dir/weights%20%231.bin"))
    assert isinstance(look, LookAt)
    assert look.commit == COMMIT


LIES = {
    "no length": (200, *without("Content-Length", GIT)),
    "no ETag": (200, *without("ETag", GIT)),
    "no commit": (200, *without("X-Repo-Commit", GIT)),
    "a weak ETag of a large file": (
        200,
        *(("X-Repo-Commit", COMMIT), ("ETag", f'W/"{SHA1}"'), ("Content-Length", str(CHUNK + 1))),
    ),
    "a weak ETag that is no git sha1": (200, *without("ETag", GIT), ("ETag", f'W/"{"a" * 64}"')),
    "an ETag without quotes": (200, *without("ETag", GIT), ("ETag", SHA1)),
    "an ETag that is no hash": (200, *without("ETag", GIT), ("ETag", '"v1"')),
    "an ETag with capitals": (200, *without("ETag", GIT), ("ETag", f'"{SHA1.upper()}"')),
    "two ETags": (200, *GIT, ("ETag", f'"{"e" * 40}"')),
    "a negative length": (200, *without("Content-Length", GIT), ("Content-Length", "-1")),
    "a length in other digits": (200, *without("Content-Length", GIT), ("Content-Length", "\u0663")),
    "a length of 30 digits": (200, *without("Content-Length", GIT), ("Content-Length", "1" * 30)),
    "the length of a gzip body": (200, *GIT, ("Content-Encoding", "gzip")),
    "a branch for a commit": (200, *without("X-Repo-Commit", GIT), ("X-Repo-Commit", "main")),
    "a redirect abroad without facts": (302, CDN, ("X-Repo-Commit", COMMIT)),
    "a redirect to another file": (307, ("Location", "/acme/tiny/resolve/main/other.bin")),
    "a redirect to a page": (307, ("Location", "/login?next=x")),
    "a redirect to a foreign host": (302, ("Location", "https://evil.example/x")),
    "a redirect to nowhere": (302,),
    "a 304 nobody asked for": (304, *GIT),
    "a 206 nobody asked for": (206, *GIT),
}


@pytest.mark.parametrize("answer", LIES.values(), ids=LIES.keys())
def test_an_inconsistent_answer_is_refused(answer: tuple[int, tuple[str, str]]) -> None:
    status, *fields = answer
    with pytest.raises(OriginLied):
        read(status, *fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [
        (*without("Content-Length", GIT), ("Content-Length", "0")),
        (*without("X-Linked-Size", LINKED), ("X-Linked-Size", "0")),
        (*without("ETag", GIT), ("ETag", '"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"')),
    ],
)
def test_nothing_has_one_digest_and_something_never_has_it(fields: tuple[tuple[str, str], ...]) -> None:
    """Of an empty file nothing is fetched, so nothing else would prove it."""
    with pytest.raises(OriginLied):
        read(200, *fields)


def test_a_pinned_commit_must_be_the_one_answered_for() -> None:
    with pytest.raises(OriginLied):
        read(200, *GIT, target=TARGET.at("e" * 40))


def test_two_hops_must_speak_of_one_commit() -> None:
    with pytest.raises(OriginLied):
        read(200, *GIT, commit="e" * 40)


def test_the_commit_of_an_earlier_hop_is_enough() -> None:
    assert read(200, *without("X-Repo-Commit", GIT), commit=COMMIT) == FoundFile(
        COMMIT, FileFacts(SHA1, 7, False, None)
    )


def test_a_refusal_keeps_code_words_commit_and_challenge() -> None:
    fields = (("X-Error-Code", "EntryNotFound"), ("X-Error-Message", "Entry not found"), ("X-Repo-Commit", COMMIT))
    with pytest.raises(OriginRefused) as raised:
        read(404, *fields, ("WWW-Authenticate", "Bearer"), ("Set-Cookie", "x=y"))
    refusal = raised.value
    assert (refusal.status, refusal.code, refusal.commit) == (404, "EntryNotFound", COMMIT)
    assert refusal.message == "Entry not found"
    assert refusal.headers == (("www-authenticate", "Bearer"),)


def test_a_weak_tag_will_do_where_its_sha1_proves_the_bytes_before_any_goes_out() -> None:
    assert read(200, *without("ETag", GIT), ("ETag", f'W/"{SHA1}"')) == read(200, *GIT)
