"""The ready file: who serves where, for the ones that started us; there exactly while the node serves."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from proxy.config.schema import Address

log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """The content of the ready file. `workers` is empty when one process does everything."""

    data: Address
    admin: Address
    pid: int
    workers: tuple[int, ...]

    def to_json(self) -> bytes:
        return orjson.dumps(
            {"data": str(self.data), "admin": str(self.admin), "pid": self.pid, "workers": list(self.workers)},
            option=orjson.OPT_APPEND_NEWLINE,
        )


class ReadyFile:
    """Written whole or not at all; `path` None means nobody asked for it."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def write(self, standing: Standing) -> None:
        """Publish by rename, so that a reader never sees half of it. A node whose file cannot be written serves all the
        same, and says so."""
        if self._path is None:
            return
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            draft.write_bytes(standing.to_json())
            draft.replace(self._path)
        except OSError as error:
            log.error("the ready file cannot be written", extra={"path": str(self._path), "why": error.strerror})
            with suppress(OSError):
                draft.unlink()

    def remove(self) -> None:
        """Take it away; one that cannot be taken away is not ours, or its folder is gone."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()


@contextmanager
def ready_file(path: Path | None, *, stands: bool = False) -> Iterator[ReadyFile]:
    """The ready file of this run. One left by a killed run is removed at the start, unless it `stands`, as the node
    serves already; ours at the end."""
    file = ReadyFile(path)
    if not stands:
        file.remove()
    try:
        yield file
    finally:
        file.remove()
