"""Waking at a moment, to the microsecond.

libuv counts its timers in milliseconds; a request that is sent a millisecond after its time would seem a millisecond
slower than it was. A timerfd of the kernel is not so coarse (timerfd_create(2); Python has it from 3.13 on).
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from typing import Final

_CLOCK_MONOTONIC: Final = 1
_ABSOLUTE: Final = 1
_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC
_NANOSECONDS: Final = 1_000_000_000


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


_libc: Final = ctypes.CDLL(None, use_errno=True)


class Metronome:
    """One sleeper's alarm clock, on the clock that both uvloop and asyncio go by (CLOCK_MONOTONIC)."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Raises OSError."""
        self._loop = loop
        self._fd: int = _libc.timerfd_create(_CLOCK_MONOTONIC, _FLAGS)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._woken: asyncio.Future[None] | None = None
        loop.add_reader(self._fd, self._ring)

    async def until(self, when: float) -> None:
        """Returns at `when` (seconds of CLOCK_MONOTONIC); at once, if that is past."""
        self._woken = self._loop.create_future()
        whole = max(int(when * _NANOSECONDS), 1)
        spec = _Itimerspec(_Timespec(0, 0), _Timespec(*divmod(whole, _NANOSECONDS)))
        if _libc.timerfd_settime(self._fd, _ABSOLUTE, ctypes.byref(spec), None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")
        await self._woken

    def close(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def _ring(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)
