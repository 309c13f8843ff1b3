"""How a supervisor makes room for another program without a refused or cut connection: it becomes that program.

SIGUSR2. The process keeps its number, its children and its sockets, and execve(2) puts what is installed now into its
place:

    1. rehearse   the new program is run as `serve --rehearse`: does it start at all, with a configuration that fits?
    2. become     execve; what stays open is told in a memory file (`Legacy`), signals wait until it can take them
    3. adopt      the new program takes over ports, metrics and the living workers (the *formers*), who serve on
    4. succeed    it starts workers of its own on the very sockets the formers listen on, so that no connection is lost
                  between the two; when all of them serve, the formers are told to leave, and end with their downloads

`succession` knows how far that is, and lets an operator ask.

Nothing that serves is touched before the new program has proven itself in steps 1 and 4: a program that does not start
costs a line in the log.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

import orjson

import proxy
from proxy.config.reload import value_of
from proxy.config.schema import Config
from proxy.core.errors import PenstockError
from proxy.store.layout import FORMAT

VARIABLE: Final = "_PENSTOCK_LEGACY"
"""The environment variable with the number of the memory file."""
_REHEARSED_WITHIN: Final = 60.0
_FIXED: Final = ("server.listen", "server.admin", "store.disks", "store.state", "cluster.advertise")
"""Knobs in which two programs on one node must agree: what is where, and what others call it."""
_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2})


class NotRenewed(PenstockError):
    """The running program stays; the message says why."""


@dataclass(frozen=True, slots=True)
class Former:
    """A living worker: the descriptor of our line to it, and whether it was told to leave."""

    number: int
    pid: int
    control: int
    leaving: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Legacy:
    """What a supervisor leaves to the program that takes its place; numbers are open descriptors."""

    data: tuple[int, ...]
    admin: tuple[int, ...]
    metrics: str
    metrics_lock: int
    secret: str
    doors: tuple[tuple[int, int], ...]
    """The listening socket of each slot."""
    workers: tuple[Former, ...]
    program: int = 1
    """The how manieth program of this process it was."""

    @property
    def descriptors(self) -> tuple[int, ...]:
        doors = (door for _, door in self.doors)
        return (*self.data, *self.admin, self.metrics_lock, *doors, *(worker.control for worker in self.workers))

    def to_json(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def of_json(cls, text: bytes) -> Legacy:
        """What `to_json` wrote; fields of a later program are left out."""
        found = orjson.loads(text)
        workers = (
            Former(one["number"], one["pid"], one["control"], one["leaving"], tuple(one["reasons"]))
            for one in found["workers"]
        )
        return cls(
            data=tuple(found["data"]),
            admin=tuple(found["admin"]),
            metrics=found["metrics"],
            metrics_lock=found["metrics_lock"],
            secret=found["secret"],
            doors=tuple((slot, door) for slot, door in found["doors"]),
            workers=tuple(workers),
            program=found.get("program", 1),
        )


def legacy() -> Legacy | None:
    """What the program before us in this process left; None when there was none. To be asked once, at the start."""
    number = os.environ.pop(VARIABLE, None)
    if number is None:
        return None
    with open(int(number), "rb") as file:
        found = Legacy.of_json(file.read())
    _let_through(found.descriptors, inherited=False)
    return found


def take_signals() -> None:
    """Let signals in that waited while one program became another. Call it when they have handlers."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def become(words: Sequence[str], legacy: Legacy) -> None:
    """Be the program `words`. Returns only by OSError, and everything is as it was then."""
    memory = os.memfd_create("penstock-legacy", 0)
    os.write(memory, legacy.to_json())
    os.lseek(memory, 0, os.SEEK_SET)
    # A SIGTERM between the two programs would end both, and everything that is under way.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        _let_through(legacy.descriptors, inherited=True)
        os.execve(words[0], list(words), {**os.environ, VARIABLE: str(memory)})
    finally:
        _let_through(legacy.descriptors, inherited=False)
        os.close(memory)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


async def rehearsed(words: Sequence[str], running: Config) -> str:
    """The version of the program `words`, which can take our place. Raises NotRenewed when it cannot, OSError when it
    cannot be run."""
    process = await asyncio.create_subprocess_exec(
        *words,
        "--rehearse",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_REHEARSED_WITHIN):
            said, complaints = await process.communicate()
    except TimeoutError:
        raise NotRenewed(f"it did not get ready within {_REHEARSED_WITHIN:.0f} s") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode != 0:
        raise NotRenewed(complaints.decode(errors="replace").strip() or f"it ended with {process.returncode}")
    theirs = orjson.loads(said)
    if why := at_odds(fixed(running), theirs):
        raise NotRenewed(why)
    return str(theirs.get("version", "unknown"))


def fixed(config: Config) -> dict[str, Any]:
    """What must be the same in the program that takes our place, and its version, as JSON."""
    values = {name: value_of(config, name) for name in _FIXED}
    found: dict[str, Any] = orjson.loads(
        orjson.dumps({**values, "has_parent": config.server.has_parent}, default=_plain)
    )
    return {**found, "version": proxy.__version__, "disk_format": FORMAT}


def at_odds(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    """In what the two programs differ that may not; None when in nothing."""
    if not theirs["has_parent"]:
        return "without server.supervised or several workers there is no supervisor; that needs a restart"
    if (other := theirs.get("disk_format", FORMAT)) != ours["disk_format"]:
        version, kept = theirs.get("version", "another version"), ours["disk_format"]
        return f"{version} reads disk format {other}, and the disks have {kept}; see docs/upgrade.md"
    changed = [name for name in _FIXED if ours[name] != theirs[name]]
    return f"{', '.join(changed)} changed; that needs a restart" if changed else None


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else str(value)


def _let_through(descriptors: Sequence[int], *, inherited: bool) -> None:
    for descriptor in descriptors:
        os.set_inheritable(descriptor, inherited)
