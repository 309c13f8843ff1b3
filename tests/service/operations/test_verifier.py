"""`verify` over a disk that fails: nothing is called wrong that could not be read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from proxy.core.blob import BlobKey
from proxy.core.clock import SystemClock
from proxy.core.sizes import CHUNK
from proxy.hub.facts import FileFacts
from proxy.hub.names import RepoId
from proxy.service.doctor import repo_named
from proxy.service.operations import proof
from proxy.service.operations.inventory import InventoryDesk, entry_of
from proxy.service.operations.proof import Verifier
from proxy.service.operations.runner import JobFailed, Progress
from tests.store.faulty import EIO, FaultySyscalls
from tests.store.stores import THREE_CHUNKS, content_of, fill, open_store, section

CONTENT = content_of(THREE_CHUNKS)
FACTS = FileFacts(
    hashlib.sha256(CONTENT).hexdigest(), THREE_CHUNKS, True, BlobKey.sha256(hashlib.sha256(CONTENT).hexdigest())
)
REPO = repo_named("acme/tiny")
ORDER: dict[str, Any] = {"repo": "acme/tiny", "revision": "main", "include": (), "exclude": (), "rate": None}


class OneFile:
    """What the verifier asks of the inventory."""

    @property
    def survey(self) -> OneFile:
        return self

    async def commit_of(self, repo: RepoId, revision: str) -> str:
        return "a" * 40

    def files(self, repo: RepoId, commit: str) -> Iterator[list[tuple[str, str, FileFacts]]]:
        yield [(commit, "model.safetensors", FACTS)]


class Falling(Progress):
    """After the first piece the disk cannot read for once."""

    faulty: FaultySyscalls

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "bytes" and value:
            self.faulty.fail("pread", EIO, times=1)
        super().__setattr__(name, value)


async def test_a_file_that_a_disk_could_not_read_is_not_called_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "STEP", CHUNK)
    faulty = FaultySyscalls()
    async with open_store(section(tmp_path), syscalls=lambda _: faulty) as store:
        record = FACTS.record(REPO)
        async with store.open_blob(record) as blob:
            await fill(blob, CONTENT)
            assert await blob.seal()
        verifier, progress = Verifier(cast(InventoryDesk, OneFile()), store, SystemClock()), Falling()
        progress.faulty = faulty
        with pytest.raises(JobFailed, match=r"1 of 1 files could not be read; the first: model\.safetensors"):
            await verifier.verify(ORDER, progress)
        assert progress.result == {"right": 0, "not_whole": 0, "wrong": []}
        entry = entry_of(REPO, FACTS)
        assert entry is not None
        assert await store.inventory.kept([entry]) == {entry: THREE_CHUNKS}, "all of it is here still"
