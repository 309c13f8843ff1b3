"""Leads: which worker of a node asks a question for all of them, as locks that die with their holder.

    lead      exclusive, while somebody asks
    verdict   shared, for a moment after: "the answer was for one alone, do not wait for one another"

A question is a number of 60 bits, and its two locks are bytes at that offset of an empty file: the kernel locks what is
not there as well, so that nothing is ever written, and two questions have one lock by chance only.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from . import rangelock

log = logging.getLogger(__name__)

_QUESTION: Final = 8
"""Bytes that name a question."""


class Lead:
    """A lead that this worker has. `end` it."""

    def __init__(self, leads: Leads, at: int) -> None:
        self._leads = leads
        self._at = at
        self._has_ended = False

    def end(self) -> None:
        """Let others look, and ask. Idempotent."""
        if not self._has_ended:
            self._has_ended = True
            self._leads.held.discard(self._at)
            rangelock.unlock(self._leads.fd, self._at)

    def tell(self) -> None:
        """From now on the others hear that each is to ask for itself; to be called before `end`."""
        self._leads.try_lock(self._at + 1, shared=True)

    def take_back(self) -> None:
        """No more of that. If another worker has told the same, it goes on."""
        rangelock.unlock(self._leads.fd, self._at + 1)


class Leads:
    """Those of one worker (`fetch.web.ports.Leads`)."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.held: set[int] = set()

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Leads]:
        """On the file that all workers of the node open. Raises OSError."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield cls(fd)
        finally:
            os.close(fd)

    def take(self, question: bytes) -> Lead | None:
        """The lead; None when somebody has it, or the kernel gives no locks. `question`: a digest of at least 8 bytes,
        the same in all workers."""
        at = _at(question)
        if at in self.held or not self.try_lock(at):
            return None
        self.held.add(at)
        return Lead(self, at)

    def is_taken(self, question: bytes) -> bool:
        """Whether another worker has it."""
        return self._is_locked(_at(question))

    def is_for_each(self, question: bytes) -> bool:
        """Whether another worker has found, a moment ago, that each is to ask for itself."""
        return self._is_locked(_at(question) + 1)

    def try_lock(self, at: int, *, shared: bool = False) -> bool:
        """Whether the byte is ours now."""
        try:
            return rangelock.try_lock(self.fd, at, shared=shared)
        except OSError as error:
            log.warning("no lock is to be had", extra={"why": error.strerror})
            return False

    def _is_locked(self, at: int) -> bool:
        try:
            return rangelock.held_by_another(self.fd, at)
        except OSError:
            return False  # who cannot look asks


def _at(question: bytes) -> int:
    return int.from_bytes(question[:_QUESTION]) >> 4 << 1
