from __future__ import annotations

import hashlib
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.blob import BlobKey, BlobRecord, Digest, DigestKind, KeyScheme

KEY = BlobKey.sha256("ab" * 32)


@pytest.mark.parametrize("digits", ["", "ab" * 31, "AB" * 32, "zz" * 32, "ab" * 32 + "\n"])
def test_a_key_refuses_what_is_no_hash(digits: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal"):
        BlobKey.sha256(digits)


@pytest.mark.parametrize("text", ["", "ab" * 32, "md5:" + "ab" * 32, "sha256:", "SHA256:" + "ab" * 32])
def test_text_that_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        BlobKey.parse(text)


@given(st.sampled_from(KeyScheme), st.text("0123456789abcdef", min_size=64, max_size=64))
def test_a_key_survives_its_spelling(scheme: KeyScheme, digits: str) -> None:
    key = BlobKey(scheme.value, digits)
    assert BlobKey.parse(str(key)) == key
    assert key.scheme is scheme


def test_key_of_a_place_depends_on_url_validator_and_size() -> None:
    keys = {
        BlobKey.of_place("http://a/x", "v", 1),
        BlobKey.of_place("http://a/y", "v", 1),
        BlobKey.of_place("http://a/x", "w", 1),
        BlobKey.of_place("http://a/x", "v", 2),
        BlobKey.of_place("http://a/x", "v", 1),
    }
    assert len(keys) == 4
    assert {key.scheme for key in keys} == {KeyScheme.ETAG}


@given(st.binary(max_size=200))
def test_sha256_digest_matches_its_bytes_only(content: bytes) -> None:
    digest = Digest(DigestKind.SHA256, hashlib.sha256(content).hexdigest())
    assert digest.matches(content)
    assert not digest.matches(content + b"\0")


def test_git_digest_is_the_one_git_computes() -> None:
    content = b"line\n\0" * 100
    asked = subprocess.run(["git", "hash-object", "--stdin"], input=content, capture_output=True, check=True)
    digest = Digest(DigestKind.GIT_SHA1, asked.stdout.decode().strip())
    assert digest.matches(content)
    assert not digest.matches(content[:-1])


@pytest.mark.parametrize(("kind", "length"), [(DigestKind.SHA256, 40), (DigestKind.GIT_SHA1, 64)])
def test_a_digest_has_the_length_of_its_kind(kind: DigestKind, length: int) -> None:
    with pytest.raises(ValueError, match="not a"):
        Digest(kind, "a" * length)


@pytest.mark.parametrize("validator", ["", "x" * 513, 'a"b', "ü"])
def test_a_record_refuses_a_validator_that_cannot_be_sent(validator: str) -> None:
    with pytest.raises(ValueError, match="validator"):
        BlobRecord(KEY, 1, validator, None)


def test_a_record_refuses_a_negative_length() -> None:
    with pytest.raises(ValueError, match="negative"):
        BlobRecord(KEY, -1, "v", None)
