"""Git's view of a file: object ids, and the pointer text that stands in git for a file kept outside of it.

Source: the git-lfs specification (docs/spec.md, version v1).
"""

from __future__ import annotations

import re
from hashlib import sha1, sha256
from typing import Final

from proxy.core.blob import BlobKey

from .facts import FileFacts

MOST_POINTER_BYTES: Final = 1024
"""A pointer is shorter than this; anything longer is a file."""

_POINTER: Final = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize (0|[1-9][0-9]{0,17})\n"
)


def git_sha1(content: bytes) -> str:
    """The object id git gives to a file of these bytes."""
    return sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def pointer(facts: FileFacts) -> bytes:
    """The text git holds in place of a linked file: what `/raw/` answers."""
    assert facts.linked, "only a file outside git has a pointer in it"
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{facts.etag}\nsize {facts.size}\n"
    return text.encode()


def pointer_facts(facts: FileFacts) -> FileFacts:
    """The facts of the pointer of a linked file, itself a small git file."""
    content = pointer(facts)
    return FileFacts(git_sha1(content), len(content), linked=False, key=BlobKey.sha256(sha256(content).hexdigest()))


def parse_pointer(content: bytes) -> FileFacts | None:
    """The facts of the linked file that `content` points to; None when it is no plain pointer."""
    match = _POINTER.fullmatch(content) if len(content) < MOST_POINTER_BYTES else None
    if match is None:
        return None
    oid, size = match[1].decode(), int(match[2])
    return FileFacts(oid, size, linked=True, key=BlobKey.sha256(oid))
