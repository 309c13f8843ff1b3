"""Hashing in threads: what goes wrong there is told, and the thread lives on."""

from __future__ import annotations

import hashlib

import pytest

from proxy.core.hashing import HashThreads


async def test_an_error_in_the_thread_reaches_the_one_who_waits_and_leaves_the_thread_for_others() -> None:
    threads = HashThreads("hash", 1)
    gone = memoryview(b"abc")
    gone.release()
    with pytest.raises(ValueError, match="released"):
        await threads.run(hashlib.sha256().update, gone)
    hasher = hashlib.sha256()
    await threads.run(hasher.update, b"abc")
    assert hasher.digest() == hashlib.sha256(b"abc").digest()
    threads.close()
