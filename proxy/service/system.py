"""What a process asks of the kernel and of systemd."""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

from proxy.core.clock import Clock

_PR_SET_PDEATHSIG: Final = 1


def raise_file_limit() -> int:
    """Lift the soft limit of open files to the hard one; returns what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def share_of_open_files() -> float:
    """Open descriptors as a share of what this process may open. Blocks for moments where there are many."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    try:
        # The kernel says how many there are since 6.2; before, they have to be counted.
        count = os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd"))
    except OSError:  # none is left to look with
        return 1.0
    return count / limit if limit != resource.RLIM_INFINITY else 0.0


def keep_standard_descriptors() -> None:
    """Put /dev/null where standard input, output or error are closed. Call it before anything else is opened: their
    numbers would go to the next file or socket, and the logs would be written into that."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # open(2) takes the lowest number that is free: this one, as those below it are open by now.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def keep_from_others() -> None:
    """Let nobody but the owner and the group at what is made from now on: it holds private files. What the umask of
    whoever starts us takes from the group stays taken."""
    os.umask(os.umask(0o077) | 0o007)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, and end now if process `parent` is gone already."""
    # The thread that started us counts as the parent: a supervisor must start its workers from its main thread.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def tell_systemd(state: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Send `state` ("READY=1", "STOPPING=1") to the service manager; False when there is none. See sd_notify(3)."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    where = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.sendto(state.encode(), where)
    except OSError:
        return False
    return True


async def _yes() -> bool:
    return True


async def answer_watchdog(
    lives: Callable[[], Awaitable[bool]] = _yes, environment: Mapping[str, str] = os.environ
) -> None:
    """Tell the service manager twice in each of its periods (`WatchdogSec=`) that we live, unless `lives` says no. It
    comes from the event loop: one that hangs is silent, and the manager starts the service anew. Runs until cancelled,
    or ends at once where nobody asks. See sd_watchdog_enabled(3)."""
    period = environment.get("WATCHDOG_USEC", "")
    if not period.isdecimal() or environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return
    while True:
        if await lives():
            tell_systemd("WATCHDOG=1", environment)
        await asyncio.sleep(int(period) / 2e6)


@contextmanager
def reloading(clock: Clock, environment: Mapping[str, str] = os.environ) -> Iterator[None]:
    """What is in this block is a reload, to the service manager."""
    tell_systemd(f"RELOADING=1\nMONOTONIC_USEC={clock.monotonic() * 1e6:.0f}", environment)
    try:
        yield
    finally:
        tell_systemd("READY=1", environment)
