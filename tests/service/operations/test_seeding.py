"""Caches of other programs as seed: what is said when nothing of one can be taken."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any, cast

import pytest

from proxy.catalogue.catalogue import Catalogue
from proxy.core.clock import SystemClock
from proxy.core.errors import DigestMismatch
from proxy.fetch.mirror import Mirror
from proxy.hub.names import FileTarget
from proxy.service.operations.inventory import InventoryDesk
from proxy.service.operations.proof import Verifier
from proxy.service.operations.runner import JobFailed, Progress
from proxy.service.operations.seeds import olah_cache
from proxy.service.operations.transfer import MOST_TOLD, Transfer

WRONG = MOST_TOLD + 1


class Refusing:
    """A mirror that takes in nothing but what is called `right`."""

    async def take_in(self, target: FileTarget, *_: Any) -> None:
        if target.path != "right":
            raise DigestMismatch("it is not what its name says")


def cache_of(folder: Path, names: list[str]) -> None:
    """A cache of huggingface_hub with these files in one repo."""
    repo = folder / "models--acme--tiny"
    (repo / "blobs").mkdir(parents=True)
    snapshot = repo / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    for number, name in enumerate(names):
        blob = repo / "blobs" / f"{number:040x}"
        blob.write_bytes(b"bytes")
        (snapshot / name).symlink_to(blob)


def seeding(folder: Path, progress: Progress) -> Any:
    transfer = Transfer(
        mirror=cast(Mirror, Refusing()),
        catalogue=cast(Catalogue, None),
        inventory=cast(InventoryDesk, None),
        verifier=cast(Verifier, None),
        state=folder,
        clock=SystemClock(),
        imported=lambda count: None,
    )
    return transfer.seed({"path": str(folder), "kind": "hf-cache"}, progress)


async def test_a_seed_of_which_nothing_could_be_taken_has_failed_however_much_it_was(tmp_path: Path) -> None:
    cache_of(tmp_path, [f"{number}.bin" for number in range(WRONG)])
    with pytest.raises(JobFailed, match=f"none of the {WRONG} files could be taken"):
        await seeding(tmp_path, Progress())


async def test_what_could_be_taken_is_and_the_rest_is_counted(tmp_path: Path) -> None:
    cache_of(tmp_path, ["right", *(f"{number}.bin" for number in range(WRONG))])
    progress = Progress()
    await seeding(tmp_path, progress)
    assert (progress.files, progress.files_total) == (1, WRONG + 1)
    assert len(progress.result["left_out"]) == MOST_TOLD


def test_an_olah_entry_ends_where_its_blocks_do(tmp_path: Path) -> None:
    """However many it says that there are: the number is the file's own word."""
    place = tmp_path / "files" / "models" / "acme" / "tiny" / "resolve" / ("a" * 40) / "x.bin"
    (place / "blocks").mkdir(parents=True)
    (place / "blocks" / "block_00000000.bin").write_bytes(b"x")
    for size, found in ((1, 1), (1 << 62, 0)):
        etag = b"b" * 40
        head = struct.pack("<4sHHIQQBIH8s", b"OLAH", 10, 0, 43 + len(etag) + 4, 1, size, 0, 0, len(etag), bytes(8))
        content = head + etag
        (place / "meta.bin").write_bytes(content + struct.pack("<I", zlib.crc32(content)))
        assert len(list(olah_cache(tmp_path))) == found
