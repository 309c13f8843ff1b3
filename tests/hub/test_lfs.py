from __future__ import annotations

import hashlib
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.blob import BlobKey
from proxy.hub.facts import FileFacts
from proxy.hub.lfs import git_sha1, parse_pointer, pointer, pointer_facts

OID = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"
LARGE = FileFacts(OID, 12345, linked=True, key=BlobKey.sha256(OID))
# The example of the git-lfs specification.
TEXT = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 12345\n".encode()


def test_pointer_is_the_text_of_the_specification() -> None:
    assert pointer(LARGE) == TEXT


def test_a_git_file_has_no_pointer() -> None:
    with pytest.raises(AssertionError):
        pointer(FileFacts("ab" * 20, 5, linked=False, key=None))


def test_pointer_facts_are_those_of_its_bytes() -> None:
    facts = pointer_facts(LARGE)
    assert facts.size == len(TEXT)
    assert facts.digest.matches(TEXT)
    assert facts.key == BlobKey.sha256(hashlib.sha256(TEXT).hexdigest())


@pytest.mark.parametrize("content", [b"", b"hello\n", TEXT, bytes(range(256)) * 9])
def test_git_sha1_is_the_one_git_computes(content: bytes) -> None:
    asked = subprocess.run(["git", "hash-object", "--stdin"], input=content, capture_output=True, check=True)
    assert git_sha1(content) == asked.stdout.decode().strip()


@given(st.binary(min_size=32, max_size=32).map(bytes.hex), st.integers(0, 10**18 - 1))
def test_a_pointer_is_read_back(oid: str, size: int) -> None:
    facts = FileFacts(oid, size, linked=True, key=BlobKey.sha256(oid))
    assert parse_pointer(pointer(facts)) == facts


@pytest.mark.parametrize(
    "content",
    [
        b"",
        TEXT[:-1],
        TEXT + b"\n",
        TEXT.replace(b"sha256", b"sha512"),
        TEXT.replace(b"size 12345", b"size 012345"),
        TEXT.replace(b"size 12345", b"size -1"),
        TEXT.replace(OID.encode(), OID.upper().encode()),
        TEXT + b"x" * 2000,
    ],
)
def test_what_is_no_plain_pointer_is_a_file(content: bytes) -> None:
    assert parse_pointer(content) is None
