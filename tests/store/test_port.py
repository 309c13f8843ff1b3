"""The store fits what `fetch` asks of it; mypy proves it, the test that it was not forgotten."""

from __future__ import annotations

import inspect

from proxy.fetch import ports
from proxy.store.blobfile import OpenBlob
from proxy.store.blobstore import BlobStore
from proxy.store.claim import SpanWriter


def fits(store: BlobStore, blob: OpenBlob, writer: SpanWriter) -> tuple[ports.BlobStore, ports.Blob, ports.ChunkWriter]:
    return store, blob, writer


def test_every_name_of_the_port_is_there() -> None:
    for port, ours in ((ports.BlobStore, BlobStore), (ports.Blob, OpenBlob), (ports.ChunkWriter, SpanWriter)):
        wanted = {name for name, _ in inspect.getmembers(port) if not name.startswith("_")} - {"record"}
        assert wanted <= set(dir(ours))
