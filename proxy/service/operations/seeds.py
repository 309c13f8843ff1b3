"""Caches of other programs, read as seed: what lies where, and what the Hub calls it.

    hf cache    <dir>/models--org--name/snapshots/<commit>/<path> -> …/blobs/<etag>; refs/<name> holds a commit
    Olah 0.5    <dir>/files/models/org/name/resolve/<commit>/<path>/{meta.bin,blocks/block_00000000.bin,…}

Nothing is believed of the bytes: they are compared with the digest that is their name. The functions block.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.core.blob import BlobKey
from proxy.hub.facts import FileFacts
from proxy.hub.names import FileTarget, RepoId, RepoKind, Revision

from .local import LocalPart

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_ETAG: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_OLAH_HEAD: Final = struct.Struct("<4sHHIQQBIH8s")
_OLAH_VERSION: Final = 10
_LONGEST_META: Final = 128 * 1024


@dataclass(frozen=True, slots=True)
class Seed:
    """A file of the Hub in somebody's cache, in the order of its parts."""

    target: FileTarget
    facts: FileFacts
    parts: tuple[LocalPart, ...]


def hf_cache(folder: Path) -> Iterator[Seed]:
    """What a cache of huggingface_hub (`HF_HUB_CACHE`) holds whole. Files that are copies, not links to a blob, do not
    say what the Hub calls them and are left out."""
    for place in sorted(folder.glob("*--*")):
        repo = _hf_repo(place.name)
        if repo is None:
            continue
        for snapshot in sorted((place / "snapshots").glob("*")):
            if not _COMMIT.fullmatch(snapshot.name):
                continue
            for path in _files_in(snapshot):
                blob = Path(os.path.realpath(snapshot / path))
                target = FileTarget(repo, Revision(snapshot.name), path)
                with suppress(OSError):
                    size = blob.stat().st_size
                    if _ETAG.fullmatch(blob.name):
                        yield Seed(target, facts_named(blob.name, size), (LocalPart(blob, 0, size),))


def olah_cache(folder: Path) -> Iterator[Seed]:
    """What a cache of Olah 0.5 (`repos-path`) holds whole and uncompressed."""
    for kind in RepoKind:
        for meta in sorted((folder / "files" / kind.value).glob("**/resolve/*/**/meta.bin")):
            before, _, after = meta.parent.relative_to(folder / "files" / kind.value).as_posix().partition("/resolve/")
            commit, _, path = after.partition("/")
            names = before.split("/")
            if not _COMMIT.fullmatch(commit) or not path or not all(map(_SEGMENT.fullmatch, names)) or len(names) > 2:
                continue
            with suppress(OSError, ValueError):
                facts, parts = _olah_entry(meta)
                yield Seed(FileTarget(RepoId(kind, before), Revision(commit), path), facts, parts)


def facts_named(etag: str, size: int) -> FileFacts:
    """The facts of a file whose name for clients is `etag`: a sha256 outside git, git's sha1 inside."""
    linked = len(etag) == 64
    return FileFacts(etag, size, linked, BlobKey.sha256(etag) if linked else None)


def _hf_repo(name: str) -> RepoId | None:
    kind, *names = name.split("--")
    with suppress(ValueError):
        if 1 <= len(names) <= 2 and all(map(_SEGMENT.fullmatch, names)):
            return RepoId(RepoKind(kind), "/".join(names))
    return None


def _files_in(snapshot: Path) -> Iterator[str]:
    for folder, _, names in os.walk(snapshot):
        for name in sorted(names):
            yield (Path(folder) / name).relative_to(snapshot).as_posix()


def _olah_entry(meta: Path) -> tuple[FileFacts, tuple[LocalPart, ...]]:
    """Raises OSError, ValueError when it is damaged, compressed, not whole, or without a name of the Hub's."""
    with meta.open("rb") as file:
        content = file.read(_LONGEST_META)
    if len(content) < _OLAH_HEAD.size + 8:
        raise ValueError("too short")
    magic, version, _, length, block, size, packing, _, etag_length, _ = _OLAH_HEAD.unpack_from(content)
    (crc,) = struct.unpack("<I", content[length - 4 : length].rjust(4, b"\0"))
    if magic != b"OLAH" or version != _OLAH_VERSION or packing != 0 or crc != zlib.crc32(content[: length - 4]):
        raise ValueError("not an entry that we read")
    etag = content[_OLAH_HEAD.size :][:etag_length].decode("ascii").removeprefix("W/").strip('"')
    if not _ETAG.fullmatch(etag) or block < 1:
        raise ValueError("its name is not the Hub's")
    return facts_named(etag, size), tuple(_blocks(meta.parent / "blocks", size, block))


def _blocks(folder: Path, size: int, block: int) -> Iterator[LocalPart]:
    """One after the other, so that what is not there ends it: the number of them is what the file itself says."""
    for index in range(-(-size // block)):
        part = LocalPart(folder / f"block_{index:08d}.bin", 0, min(block, size - index * block))
        if part.path.stat().st_size < part.size:
            raise ValueError("not whole")
        yield part
