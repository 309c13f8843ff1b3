"""Questions between nodes: what is asked is what is understood."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.blob import BlobKey
from proxy.core.secret import Secret
from proxy.hub.facts import FileFacts
from proxy.hub.names import Counter, FileTarget, ObjectTarget, RepoId, RepoKind, Revision
from proxy.hub.peering import NoQuestion, PeerQuestion, question_of

HEX40, HEX64 = st.from_regex("[0-9a-f]{40}", fullmatch=True), st.from_regex("[0-9a-f]{64}", fullmatch=True)
REPOS = st.builds(RepoId, st.sampled_from(RepoKind), st.text(min_size=1, max_size=40))
FILES = st.builds(FileTarget, REPOS, st.builds(Revision, HEX40), st.text(min_size=1, max_size=200))
OBJECTS = st.builds(ObjectTarget, REPOS, HEX64, st.sampled_from(Counter))
SIZES = st.integers(1, 1 << 44)
KEYS = st.none() | st.builds(BlobKey.sha256, HEX64)
FACTS = st.one_of(
    st.builds(FileFacts, HEX64, SIZES, linked=st.just(True), key=KEYS, xet=st.none() | HEX64),
    st.builds(FileFacts, HEX40, SIZES, linked=st.just(False), key=KEYS),
)
TOKENS = st.none() | st.builds(Secret, st.text(min_size=1, max_size=60))


@given(st.builds(PeerQuestion, FILES | OBJECTS, FACTS, TOKENS, st.booleans(), st.booleans(), st.text(max_size=60)))
def test_a_question_arrives_as_it_was_asked(question: PeerQuestion) -> None:
    assert question_of(question.encoded()) == question


@given(st.binary(max_size=200) | st.sampled_from([b"{}", b"[]", b'{"t":[],"f":[],"l":true,"s":true}', b"null"]))
def test_other_bytes_are_no_question(content: bytes) -> None:
    with pytest.raises(NoQuestion):
        question_of(content)


def test_a_branch_is_no_place_to_fetch_from() -> None:
    target = FileTarget(RepoId(RepoKind.MODEL, "acme/tiny"), Revision("main"), "config.json")
    question = PeerQuestion(target, FileFacts("a" * 40, 7, linked=False, key=None), None)
    with pytest.raises(NoQuestion):
        question_of(question.encoded())


def test_a_token_does_not_show_when_a_question_is_printed() -> None:
    target = FileTarget(RepoId(RepoKind.MODEL, "acme/tiny"), Revision("c" * 40), "config.json")
    question = PeerQuestion(target, FileFacts("a" * 40, 7, linked=False, key=None), Secret("hf_secret"))
    assert "hf_secret" not in repr(question)


def test_all_nodes_call_a_file_the_same_whether_they_know_its_sha256_or_not() -> None:
    repo = RepoId(RepoKind.MODEL, "acme/tiny")
    unknown = FileFacts("a" * 40, 7, linked=False, key=None)
    known = FileFacts("a" * 40, 7, linked=False, key=BlobKey.sha256("b" * 64))
    assert unknown.shared_name(repo) == known.shared_name(repo)
    assert unknown.shared_name(repo) != unknown.shared_name(RepoId(RepoKind.MODEL, "acme/other"))
    linked = FileFacts("d" * 64, 7, linked=True, key=BlobKey.sha256("d" * 64))
    assert linked.shared_name(repo) == BlobKey.sha256("d" * 64)
