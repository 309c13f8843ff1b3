"""Threads with one queue."""

from __future__ import annotations

import queue
import threading

from proxy.core.threads import Threads

PATIENCE = 10.0


def test_work_is_done_by_as_many_threads_as_were_asked_for() -> None:
    threads, together = Threads("t", 3), threading.Barrier(4)
    for _ in range(3):
        threads.submit(lambda: together.wait(PATIENCE) and None)
    together.wait(PATIENCE)
    threads.close()


def test_closed_threads_work_off_their_queue_and_end() -> None:
    threads, done = Threads("t", 1), queue.SimpleQueue[str]()
    for word in ("a", "b"):
        threads.submit(lambda word=word: done.put(word))  # type: ignore[misc]
    threads.close()
    assert [done.get(timeout=PATIENCE) for _ in range(2)] == ["a", "b"]
    for thread in threads._threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
