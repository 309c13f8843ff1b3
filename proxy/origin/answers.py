"""What a head of the Hub's answer means: a file, a move, another place to look, a refusal. Pure.

HEAD /{repo}/resolve/{revision}/{path}
  200                             the file (another mirror answers so)
  30x + X-Linked-*                a large file; where it points to is nobody's business yet
  307 -> /api/resolve-cache/…     a small file; its size and ETag are there
  307 -> /{other}/resolve/…       the repo has another name
  4xx                             a refusal, kept with its words
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from yarl import URL

from proxy.core.blob import BlobKey
from proxy.core.errors import MalformedTarget, OriginLied, PenstockError, RequestRefused
from proxy.core.sizes import CHUNK
from proxy.hub import paths, problems
from proxy.hub.facts import FileFacts, FoundFile, Moved, xet_hash
from proxy.hub.names import FileTarget
from proxy.hub.targets import ResolveFile

from .head import Head
from .redirects import Abroad, Home, RedirectRules

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_ETAG: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class LookAt:
    """The facts are at `url`, of the origin itself; `commit` is what this hop already said, if it did."""

    url: URL
    commit: str | None


def refuse_circle(head: Head, asked: URL) -> None:
    """Raises OriginLied when a redirect of the API leads to the very path that was asked.

    That is the same place at another host, scheme or port. Redirects are told to clients as places of the mirror's own:
    this one would lead them in circles."""
    if head.status not in REDIRECTS:
        return
    try:
        circle = asked.join(URL(head.one("location") or "", encoded=True)).raw_path_qs == asked.raw_path_qs
    except ValueError:
        raise OriginLied("the origin redirects to an address that cannot be read") from None
    if circle:
        raise OriginLied("the origin redirects to the same place at another address: set origin.url to the Hub's own")


def read_file_head(
    head: Head, asked: URL, target: FileTarget, rules: RedirectRules, commit: str | None = None
) -> FoundFile | Moved | LookAt:
    """What the answer to a HEAD of `target` at the address `asked` says; `commit` is what an earlier hop said.

    Raises OriginRefused, OriginLied."""
    if head.status == 200:
        return _found(head, target, commit)
    if head.status not in REDIRECTS:
        raise refusal(head)
    if head.first("x-linked-size") is not None and head.first("x-linked-etag") is not None:
        return _found(head, target, commit)
    where = rules.judge(asked, head.one("location"))
    if isinstance(where, Abroad):
        raise OriginLied("the origin redirects to another host without saying what the file is (X-Linked-*)")
    return _elsewhere(where, target, _commit(head, target, commit, required=False))


def refusal(head: Head, body: bytes = b"") -> PenstockError:
    """The error that a status other than the expected ones stands for (429 and 5xx are judged before)."""
    if not 400 <= head.status <= 499:
        return OriginLied(f"the origin answered with status {head.status}, which answers no question of ours")
    return problems.refusal_of(head.status, head.fields, body)


def linked_facts_differ(head: Head, facts: FileFacts) -> bool:
    """Whether an answer to a resolve request speaks of other bytes than `facts`."""
    etag, size = head.first("x-linked-etag"), head.first("x-linked-size")
    return (etag is not None and etag.strip('"') != facts.etag) or (size is not None and size != str(facts.size))


def _found(head: Head, target: FileTarget, commit: str | None) -> FoundFile:
    size = head.length("x-linked-size")
    if size is None:
        if head.is_encoded:
            raise OriginLied("the origin gives the length of an encoded body in place of the file's")
        size = head.length()
    # A larger file goes out in parts before its sha1 is known to be right: there the validator has to vouch.
    is_proven_first = size is not None and size <= CHUNK
    etag = head.strong_tag("x-linked-etag") or (head.git_tag() if is_proven_first else head.strong_tag())
    if etag is None or size is None:
        raise OriginLied(f"the origin does not give the {'ETag' if etag is None else 'length'} of the file")
    if not _ETAG.fullmatch(etag):
        raise OriginLied("the file's ETag at the origin is neither a sha256 nor a git sha1")
    linked = len(etag) == 64
    found_at = _commit(head, target, commit, required=True)
    assert found_at is not None
    key = BlobKey.sha256(etag) if linked else None
    facts = FileFacts(etag, size, linked, key, xet_hash(head.first("x-xet-hash")) if linked else None)
    if not facts.can_be:
        raise OriginLied(f"the origin gives the file {size} bytes and the digest of something else")
    return FoundFile(found_at, facts)


def _commit(head: Head, target: FileTarget, earlier: str | None, *, required: bool) -> str | None:
    """The commit of this answer: 40 digits, the one asked for if one was, and the same on every hop."""
    said = head.one("x-repo-commit")
    if said is not None and not _COMMIT.fullmatch(said):
        raise OriginLied("the origin's X-Repo-Commit is no commit")
    if said is not None and earlier is not None and said != earlier:
        raise OriginLied("the origin names two different commits for one file; the branch moved in between")
    commit = said or earlier
    if commit is None and required:
        raise OriginLied("the origin does not say which commit the file is of (X-Repo-Commit)")
    if commit is not None and target.revision.is_commit and commit != target.revision.text:
        raise OriginLied("the origin answered for another commit than the one asked for")
    return commit


def _elsewhere(where: Home, target: FileTarget, commit: str | None) -> Moved | LookAt:
    if where.url.raw_path.startswith("/api/resolve-cache/"):
        return LookAt(where.url, commit)
    try:
        named = paths.parse(where.url.raw_path_qs, "HEAD")
    except (MalformedTarget, RequestRefused):
        raise OriginLied("the origin redirects a file to something that is no file") from None
    if not isinstance(named, ResolveFile) or named.file.path != target.path:
        raise OriginLied("the origin redirects a file to something else")
    if named.file.repo != target.repo:
        return Moved(FileTarget(named.file.repo, target.revision, target.path))
    return LookAt(where.url, commit or (named.file.revision.text if named.file.revision.is_commit else None))
