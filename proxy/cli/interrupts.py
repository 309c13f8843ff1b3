"""Ctrl-C while something is drawn: it waits until that is written, and is heeded at the next pause.

Python raises KeyboardInterrupt wherever the main thread is. In the middle of what draws, the terminal may be left
without its cursor or with half a line. So SIGINT is blocked while a bar or a screen stands, and let through where the
command waits: for an answer (`heeded`) or for its next look (`pause`).
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_CTRL_C: Final = (signal.SIGINT,)


@contextmanager
def deferred() -> Iterator[None]:
    """Ctrl-C waits meanwhile, also for threads begun here; one that still waits at the end is raised there."""
    # One that is ignored (a command in the background of a script) is to stay so: blocked, it would be kept.
    is_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    before = signal.pthread_sigmask(signal.SIG_BLOCK, () if is_ignored else _CTRL_C)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def heeded() -> Iterator[None]:
    """Inside `deferred`: Ctrl-C raises KeyboardInterrupt at once, also one that has waited."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _CTRL_C)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def pause(seconds: float) -> None:
    """Inside `deferred`: sleep. Raises KeyboardInterrupt as soon as Ctrl-C was pressed."""
    if signal.sigtimedwait(_CTRL_C, seconds) is not None:
        raise KeyboardInterrupt
