"""Looking at what may never answer: a disk that hangs holds whoever looks at it, and nobody can wake it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from typing import Final, TypeVar

from proxy.core.threads import Threads

T = TypeVar("T")

LOOK_WITHIN: Final = 5.0
"""Seconds that a disk has to answer a look before a start: it is asked for a few small things."""


def looked_at(looks: Sequence[Callable[[], T]], within: float = LOOK_WITHIN) -> list[T | None]:
    """What each of `looks` gives; all look at the same time. None for one that has not come back after `within`
    seconds: its thread is left behind, and keeps nothing from ending. Blocks that long. Raises what a look raises."""
    begun = [_begun(look) for look in looks]
    done, _ = wait(begun, timeout=within)
    return [future.result() if future in done else None for future in begun]


def _begun(look: Callable[[], T]) -> Future[T]:
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(look())
        except BaseException as error:  # noqa: BLE001 - handed over, not swallowed
            future.set_exception(error)

    threads = Threads("look", 1)
    threads.submit(work)
    threads.close()
    return future


def silent(what: str) -> str:
    """What is said of `what` that has not answered, and what to do."""
    return f"{what} does not answer within {LOOK_WITHIN:.0f} s: it hangs, or what it is mounted from does; dmesg | tail"
