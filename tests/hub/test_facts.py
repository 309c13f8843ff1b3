from __future__ import annotations

from proxy.core.blob import BlobKey, DigestKind
from proxy.core.sizes import CHUNK
from proxy.hub.facts import FileFacts, OriginReply
from proxy.hub.names import RepoId, RepoKind

ONE = RepoId(RepoKind.MODEL, "a/one")
TWO = RepoId(RepoKind.MODEL, "a/two")
LINKED = FileFacts("ab" * 32, CHUNK + 1, linked=True, key=BlobKey.sha256("ab" * 32))
GIT = FileFacts("cd" * 20, 10, linked=False, key=None)


def test_a_linked_file_is_proven_by_its_sha256_and_shared_by_it() -> None:
    assert LINKED.digest.kind is DigestKind.SHA256
    assert LINKED.record(ONE) == LINKED.record(TWO)
    assert LINKED.record(ONE).key == BlobKey.sha256("ab" * 32)


def test_a_git_file_is_proven_by_its_sha1_and_never_shared_by_it() -> None:
    assert GIT.digest.kind is DigestKind.GIT_SHA1
    assert GIT.record(ONE).key != GIT.record(TWO).key
    assert GIT.record(ONE).validator == GIT.etag


def test_a_chunk_is_the_most_that_is_small() -> None:
    assert FileFacts("cd" * 20, CHUNK, linked=False, key=None).is_small
    assert not LINKED.is_small


def test_a_reply_gives_the_first_value_of_a_field() -> None:
    reply = OriginReply(200, (("a", "1"), ("a", "2")), b"")
    assert reply.header("a") == "1"
    assert reply.header("b") is None
