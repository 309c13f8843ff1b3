"""Conditions with a deadline, in place of sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")

LOOK_AGAIN = 0.01


class NotInTime(AssertionError):
    """What was waited for did not come true."""


@overload
async def until(condition: Callable[[], Awaitable[T]], what: str, within: float = 10.0) -> T: ...
@overload
async def until(condition: Callable[[], T], what: str, within: float = 10.0) -> T: ...
async def until(condition: Callable[[], T | Awaitable[T]], what: str, within: float = 10.0) -> T:
    """The first true value of `condition` (a coroutine function or a plain one), asked again and again.

    Raises NotInTime, naming `what`, after `within` seconds.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while True:
        value = condition()
        answer: T = await value if isinstance(value, Awaitable) else value
        if answer:
            return answer
        if loop.time() >= deadline:
            raise NotInTime(f"{what}: not within {within:g} s (last: {answer!r})")
        await asyncio.sleep(LOOK_AGAIN)
