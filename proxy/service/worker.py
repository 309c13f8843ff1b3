"""A worker process: one node on its share of the port, under the orders of its supervisor.

python -m proxy.service.worker --number 0 --control FD --door FD --parent PID --assembly MODULE:NAME
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable
from typing import Final, assert_never

import uvloop

from proxy.core.clock import SystemClock
from proxy.core.errors import PenstockError
from proxy.core.tasks import TaskSet
from proxy.telemetry.events import event_log, set_level
from proxy.telemetry.exposition import metrics_of_worker
from proxy.telemetry.telemetry import Telemetry

from .control import (
    LINE_LIMIT,
    Answer,
    Ask,
    Call,
    Drain,
    Failed,
    HandOver,
    Health,
    Hurry,
    Leave,
    Order,
    Purge,
    Reload,
    Report,
    Start,
    lines,
    read_order,
    written,
)
from .drain import StopOrder, drained, left
from .named import named_assembly
from .node import Assemble, Node
from .operations.shape import NODE_STARTS, Reply
from .readiness import watch_readiness
from .system import die_with_parent
from .voice import open_telemetry

log: Final = logging.getLogger(__name__)

_TOO_LONG: Final = Reply.refused(503, "the answer is longer than a worker can give; ask for fewer at once")


class _Worker:
    """The node of this process and what orders do to it."""

    def __init__(self, number: int, door: socket.socket, start: Start, report: Callable[[Report], None]) -> None:
        self._number = number
        self._door = door
        self._start = start
        self._report = report
        self._order = StopOrder()
        self._telemetry: Telemetry | None = None
        self._node: Node | None = None
        self._operations = TaskSet("operations")
        self._handed_over = False

    async def serve(self, assemble: Assemble, orders: asyncio.StreamReader) -> None:
        config = self._start.config
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._order.begin)
        metrics = metrics_of_worker(self._number)
        async with (
            TaskSet("worker") as tasks,
            self._operations,
            open_telemetry(metrics, config, self._start.secret, SystemClock()) as telemetry,
        ):
            self._telemetry = telemetry
            tasks.start(self._follow(orders), "orders")
            async with assemble(config, self._number, self._door, telemetry) as node:
                self._node = node
                if self._handed_over:  # the order came while it was made
                    node.hand_over()
                tasks.start(watch_readiness(node, self._tell), "readiness")
                await self._order.left.wait()
                if self._order.begun.is_set():
                    await drained(node, self._order, config.server)
                else:
                    await left(node, self._order, config.server)

    async def _follow(self, orders: asyncio.StreamReader) -> None:
        async for line in lines(orders):
            self._obey(read_order(line))
        # The supervisor is gone and nobody can stop us any more; the kernel's own signal may be late or not there.
        os._exit(1)

    def _obey(self, order: Order) -> None:
        match order:
            case Leave():
                self._order.leave()
            case Drain():
                self._order.begin()
            case Hurry():
                self._order.hurry()
            case Reload(config):
                set_level(config.log.level)
                if self._telemetry is not None:
                    self._telemetry.access.reopen()
                if self._node is not None:
                    self._node.reload(config)
            case HandOver():
                self._handed_over = True
                if self._node is not None:
                    self._node.hand_over()
            case Purge(key):
                if self._node is not None:
                    self._node.purge(key)
            case Ask(number):
                self._report(Answer(number, {} if self._node is None else self._node.status()))
            case Call():
                self._operations.start(self._carry_out(order), order.verb)
            case Start():
                raise ValueError("a worker starts once")
            case _:
                assert_never(order)

    async def _carry_out(self, call: Call) -> None:
        reply = NODE_STARTS if self._node is None else await self._node.operate(call.verb, call.arguments)
        answer = Answer(call.number, reply.document())
        if len(written(answer)) > LINE_LIMIT:
            answer = Answer(call.number, _TOO_LONG.document())
        self._report(answer)

    def _tell(self, reasons: list[str]) -> None:
        self._report(Health(tuple(reasons)))


async def _run(number: int, control: socket.socket, door: socket.socket, assembly: str) -> int:
    orders, reports = await asyncio.open_connection(sock=control, limit=LINE_LIMIT)
    start = read_order(await orders.readline())
    assert isinstance(start, Start), "a supervisor's first order is Start"
    with event_log(start.config.log.level, start.config.log.form, worker=number):
        try:
            await _Worker(number, door, start, lambda report: reports.write(written(report))).serve(
                named_assembly(assembly), orders
            )
        except (PenstockError, OSError) as error:
            reports.write(written(Failed(str(error))))
            await reports.drain()
            return 1
        except Exception:
            log.exception("worker failed")
            raise
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="penstock-worker")
    parser.add_argument("--number", type=int, required=True)
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--door", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--assembly", required=True)
    given = parser.parse_args()
    die_with_parent(given.parent)
    # Ctrl-C goes to every process of the terminal; a worker stops when its supervisor says so.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        control, door = socket.socket(fileno=given.control), socket.socket(fileno=given.door)
        return runner.run(_run(given.number, control, door, given.assembly))


if __name__ == "__main__":
    raise SystemExit(main())
