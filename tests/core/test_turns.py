"""Turns are fair, bounded, and given back."""

from __future__ import annotations

import asyncio

from proxy.core.turns import Turns


async def test_first_come_first_served_and_never_more_than_allowed() -> None:
    turns, order, inside, most = Turns(2), [], 0, 0

    async def visit(number: int) -> None:
        nonlocal inside, most
        async with turns.turn("host"):
            order.append(number)
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(visit(number) for number in range(20)))
    assert order == list(range(20))
    assert most == 2


async def test_hosts_do_not_wait_for_one_another() -> None:
    turns = Turns(1)
    async with turns.turn("one"), asyncio.timeout(1), turns.turn("two"):
        pass


async def test_one_who_leaves_the_queue_blocks_nobody_and_nothing_is_left_over() -> None:
    turns = Turns(1)

    async def wait() -> None:
        async with turns.turn("host"):
            pass

    async with asyncio.TaskGroup() as group, turns.turn("host"):
        leaving, staying = group.create_task(wait()), group.create_task(wait())
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.sleep(0)
    assert staying.done()
    assert len(turns) == 0
