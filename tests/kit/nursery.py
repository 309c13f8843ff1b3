"""Where the nodes of tests are born: a process that has imported all that a node needs, and forks.

    child = await born(("-m", "proxy.cli.main", "serve", …), folder=cwd, environment=…, output=file)

A node of its own takes most of a second of a processor to import, and the suite starts hundreds. A forked one runs the
same `__main__` with the same arguments, environment, working folder and descriptors, in a session of its own, and ends
as it would otherwise; what it starts (workers, git) it starts as ever. Its parent is the nursery, which tells over a
socket how it ended.

Only `-m MODULE` is forked: everything else (a wrapper like strace, `-c`) is for `asyncio.create_subprocess_exec`.
"""

from __future__ import annotations

import array
import asyncio
import atexit
import gc
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from proxy.service.system import die_with_parent

ROOT = Path(__file__).parents[2]
ENTRY = "proxy.cli.main"
_LONGEST_ORDER = 128 * 1024
"""Bytes of one order: arguments and environment."""


class Child:
    """A forked process, in the words of `asyncio.subprocess.Process`."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._line = writer  # the reader lives as long as its writer
        self._end = asyncio.get_running_loop().create_task(self._ended(reader), name=f"end of {pid}")

    async def _ended(self, reader: asyncio.StreamReader) -> int:
        told = await reader.readline()
        assert told, "the nursery is gone"
        self.returncode = int(told)
        self._line.close()
        return self.returncode

    async def wait(self) -> int:
        """The exit code, negative for a signal."""
        return await asyncio.shield(self._end)

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


async def born(
    words: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    output: BinaryIO,
    errors: BinaryIO | None = None,
) -> Child:
    """A child that runs `python WORDS`, with nothing to read; all it says goes to `output`, or errors to `errors`."""
    assert words[0] == "-m", "only modules are run here"
    order = {"words": list(words[1:]), "folder": str(folder), "environment": dict(environment)}
    ours, theirs = socket.socketpair()
    with theirs:
        descriptors = array.array("i", [theirs.fileno(), output.fileno(), (errors or output).fileno()])
        _nursery().sendmsg(
            [json.dumps(order).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors.tobytes())]
        )
    reader, writer = await asyncio.open_connection(sock=ours)
    return Child(int(await reader.readline()), reader, writer)


@cache
def _nursery() -> socket.socket:
    """The line to this process's nursery, which ends when the line does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "tests.kit.nursery", str(theirs.fileno())],
            cwd=ROOT,
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours


# --- in the nursery -------------------------------------------------------------------------------------------------


def attend(line: socket.socket) -> dict[str, Any] | None:
    """Fork for each order until the line ends: None then; in a child, the order it was born for."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    alive: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(line, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if woken in ready:
                os.read(woken, 4096)
                _bury(alive)
            if line not in ready:
                continue
            said, descriptors, _, _ = socket.recv_fds(line, _LONGEST_ORDER, 3)
            if not said:
                return None
            order = json.loads(said)
            nursery, pid = os.getpid(), os.fork()
            if pid == 0:
                die_with_parent(nursery)  # a run that is killed leaves no node behind
                selector.close()
                for kept in (line, *alive.values()):
                    kept.detach()  # their numbers are closed below, and will be others'
                _settle(order, *descriptors[1:])
                return dict(order)
            alive[pid] = socket.socket(fileno=descriptors[0])
            for given in descriptors[1:]:
                os.close(given)
            _tell(alive[pid], pid)


def _bury(alive: dict[int, socket.socket]) -> None:
    """Tell how those ended that have."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            with alive.pop(ended[0]) as line:
                _tell(line, os.waitstatus_to_exitcode(ended[1]))


def _tell(line: socket.socket, number: int) -> None:
    with suppress(OSError):  # nobody wants to know any more
        line.sendall(b"%d\n" % number)


def _settle(order: dict[str, Any], output: int, errors: int) -> None:
    """Be as a process is that was just started."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, if the tests were started in the background
    os.setsid()
    os.dup2(output, 1)
    os.dup2(errors, 2)
    os.closerange(3, 1024)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])


def _grow_up(words: Sequence[str]) -> None:
    gc.enable()
    sys.argv = ["", *words[1:]]
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


def _prepare() -> None:
    """Import what a node needs, and leave no thread behind."""
    gc.disable()
    __import__(ENTRY)
    for name in ("proxy.service.assembly", "proxy.service.solo", "proxy.service.supervisor"):
        __import__(name)
    sys.modules.pop(ENTRY)  # it is run as `__main__`
    gc.collect()
    gc.freeze()
    assert len(os.listdir("/proc/self/task")) == 1, "only the thread that forks lives on in a child"


def _main() -> None:
    _prepare()
    order = attend(socket.socket(fileno=int(sys.argv[1])))
    if order is not None:
        _grow_up(order["words"])


if __name__ == "__main__":
    _main()
