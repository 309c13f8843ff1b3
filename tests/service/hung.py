"""A process with the watchdog of a node and a loop that hangs when it is told to: `python -m tests.service.hung`.

A word on standard input is an order that a bug might give: `hang` blocks the loop until another line comes, `die` makes
`lives` say no, `live` yes again.
"""

from __future__ import annotations

import asyncio
import sys

from proxy.core.tasks import TaskSet
from proxy.service.system import answer_watchdog


class Life:
    """Whether those whom the watchdog is about live."""

    def __init__(self) -> None:
        self.goes_on = True

    async def lives(self) -> bool:
        return self.goes_on


async def main() -> None:
    life, loop, ended = Life(), asyncio.get_running_loop(), asyncio.Event()

    def heard() -> None:
        match sys.stdin.buffer.raw.readline().decode().strip():
            case "hang":
                sys.stdin.buffer.raw.readline()  # on the loop's thread
            case "die":
                life.goes_on = False
            case "live":
                life.goes_on = True
            case _:
                ended.set()

    async with TaskSet("hung") as tasks:
        tasks.start(answer_watchdog(life.lives), "watchdog")
        loop.add_reader(0, heard)
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(main())
