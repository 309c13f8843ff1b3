"""Who is let in between nodes, and who is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cluster.signing import WINDOW, Asking, Signer
from proxy.core.clock import ManualClock
from proxy.core.errors import PeerRefused
from proxy.core.manifest import Manifest

from .asking import question, signer

ASKING = Asking("GET", "/-/peer/v1/blobs/sha256:" + "ab" * 32, "bytes=0-9", "sealed")


def test_a_member_knows_another_by_name_and_hops() -> None:
    field, _ = signer("cache-1").sign(ASKING, hops=2)
    asker = signer("cache-2").check(field, ASKING)
    assert (asker.node, asker.hops) == ("cache-1", 2)


@pytest.mark.parametrize(
    "asked",
    [
        replace(ASKING, method="HEAD"),
        replace(ASKING, path=ASKING.path.replace("ab", "ac", 1)),
        replace(ASKING, range="bytes=0-10"),
        replace(ASKING, question="another"),
    ],
)
def test_a_signature_is_for_one_request(asked: Asking) -> None:
    field, _ = signer().sign(ASKING, hops=1)
    with pytest.raises(PeerRefused):
        signer().check(field, asked)


@pytest.mark.parametrize(
    ("old", "new"),
    [("node=n0", "node=n1"), ("hops=1", "hops=0"), ("time=1", "time=2"), ("once=", "once=0"), ("mac=", "mac=0")],
)
def test_no_part_of_a_signature_can_be_changed(old: str, new: str) -> None:
    field, _ = signer().sign(ASKING, hops=1)
    assert old in field
    with pytest.raises(PeerRefused):
        signer().check(field.replace(old, new, 1), ASKING)


@pytest.mark.parametrize(
    "field", [None, "", "Bearer hf_x", "Penstock-Peer", "Penstock-Peer node= hops= time= once= mac="]
)
def test_what_is_no_signature_is_refused_in_the_same_words(field: str | None) -> None:
    with pytest.raises(PeerRefused, match=r"^this is for the nodes of the fleet$"):
        signer().check(field, ASKING)


def test_another_secret_opens_nothing() -> None:
    stranger = signer(secret=b"another secret of thirty-two bytes or so")
    field, _ = stranger.sign(ASKING, hops=1)
    with pytest.raises(PeerRefused):
        signer().check(field, ASKING)
    with pytest.raises(PeerRefused):
        signer().open(stranger.seal(question()))


def test_a_request_is_good_once() -> None:
    field, _ = signer().sign(ASKING, hops=1)
    node = signer()
    node.check(field, ASKING)
    with pytest.raises(PeerRefused):
        node.check(field, ASKING)


@pytest.mark.parametrize("late", [WINDOW + 1, -WINDOW - 1])
def test_a_request_of_another_time_is_refused(late: float) -> None:
    field, _ = signer().sign(ASKING, hops=1)
    clock = ManualClock()
    clock.advance(late)
    with pytest.raises(PeerRefused):
        signer(clock=clock).check(field, ASKING)


def test_clocks_may_differ_a_little() -> None:
    field, _ = signer().sign(ASKING, hops=1)
    clock = ManualClock()
    clock.advance(WINDOW - 1)
    assert signer(clock=clock).check(field, ASKING).node == "n0"


def test_a_sealed_question_shows_neither_file_nor_token() -> None:
    sealed = signer().seal(asked := question())
    assert "hf_alice" not in sealed
    assert "safetensors" not in sealed
    assert signer().open(sealed) == asked


def test_a_question_too_long_for_a_head_is_not_asked() -> None:
    with pytest.raises(PeerRefused):
        signer().seal(question(path="x" * 20_000))


def test_an_answer_is_proven_for_one_request_status_and_content() -> None:
    asking_node, answering = signer("n0"), signer("n1")
    _, asker = asking_node.sign(ASKING, hops=1)
    _, other = asking_node.sign(ASKING, hops=1)
    proof = answering.prove(asker, 404, b"no")
    assert asking_node.is_proof(proof, asker, 404, b"no")
    assert not asking_node.is_proof(proof, asker, 403, b"no")
    assert not asking_node.is_proof(proof, asker, 404, b"yes")
    assert not asking_node.is_proof(proof, other, 404, b"no")
    assert not asking_node.is_proof("", asker, 404, b"no")
    assert not asking_node.is_proof("ü", asker, 404, b"no")


def test_a_secret_is_long() -> None:
    with pytest.raises(AssertionError):
        Signer(b"short", "n0", ManualClock())


MANIFEST = Manifest(question().record.key, 3_000_000, ("cd" * 32,))


def test_a_manifest_stamped_by_a_member_holds_for_good() -> None:
    later = ManualClock()
    later.advance(365 * 86400.0)
    assert signer("n1", clock=later).unstamp(signer().stamp(MANIFEST), question().record) == MANIFEST


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_stamped_manifest_with_any_byte_turned_is_none(at: int, turned: int) -> None:
    stamped = bytearray(signer().stamp(MANIFEST))
    stamped[at % len(stamped)] ^= turned
    assert signer().unstamp(bytes(stamped), question().record) is None


@given(st.binary(max_size=200))
def test_other_bytes_are_no_stamped_manifest(content: bytes) -> None:
    assert signer().unstamp(content, question().record) is None


def test_a_stranger_stamps_nothing() -> None:
    stranger = Signer(b"another secret of thirty-two bytes or so", "n9", ManualClock())
    assert signer().unstamp(stranger.stamp(MANIFEST), question().record) is None


def test_a_manifest_is_good_for_one_blob_of_one_size() -> None:
    stamped = signer().stamp(MANIFEST)
    assert signer().unstamp(stamped, question(3_000_001).record) is None
    assert signer().unstamp(stamped, question(sha256="ef" * 32).record) is None


def test_a_manifest_of_another_format_is_none() -> None:
    class Later:
        """What a member of a later version writes."""

        def encoded(self) -> bytes:
            return b"PENSTKMF\x02" + MANIFEST.encoded()[9:]

    assert signer().unstamp(signer().stamp(Later()), question().record) is None  # type: ignore[arg-type]
