"""What the kernel says of a process: /proc, read as values."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Descriptors:
    """The open descriptors of a process, by what they lead to."""

    files: tuple[str, ...]
    clients: int
    """Connections accepted on one of the ports given, but for those that other nodes keep to this one."""
    upstream: int
    """Connections to somebody else's port."""
    others: int
    """Listening and other sockets, pipes, epoll and event descriptors."""

    def files_below(self, folders: Iterable[Path]) -> Counter[str]:
        inside = tuple(f"{folder}/" for folder in folders)
        return Counter(path for path in self.files if path.startswith(inside))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A process at one moment. `anonymous` is resident memory that is no file's (bytes)."""

    pid: int
    descriptors: Descriptors
    threads: int
    children: int
    anonymous: int


def snapshot(pid: int, ports: frozenset[int], peers: Iterable[int] = ()) -> Snapshot:
    """The process now; `ports` are those it serves on, `peers` the processes of other nodes. Raises FileNotFoundError
    when it is gone."""
    return Snapshot(
        pid, _descriptors(pid, ports, _ends_of(peers)), threads(pid), len(children(pid)), anonymous_bytes(pid)
    )


def children(pid: int) -> list[int]:
    """Its living children."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(word) for word in (task / "children").read_text().split()]
    return [child for child in found if is_running(child)]


def descendants(pid: int) -> list[int]:
    """Its living children, theirs, and so on."""
    found: list[int] = []
    for child in children(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            found += [child, *descendants(child)]
    return found


def is_running(pid: int) -> bool:
    """Whether the process exists and is no zombie. One whose first thread has ended still holds its ports while others
    end."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    fields = status.rpartition(")")[2].split()
    return fields[0] != "Z" or int(fields[17]) > 1


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def thread_names(pid: int) -> list[str]:
    """As the kernel knows them, cut to 15 characters; a thread that ends meanwhile is left out."""
    names = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                names.append((task / "comm").read_text().rstrip("\n"))
    return names


def anonymous_bytes(pid: int) -> int:
    return _status_field(pid, "RssAnon") * 1024


def _status_field(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise KeyError(f"/proc/{pid}/status has no {name}")


@dataclass(frozen=True, slots=True)
class _Connection:
    """A TCP connection as the kernel lists it: address and port of both ends, in its own spelling."""

    here: str
    there: str

    @property
    def port(self) -> int:
        return int(self.here.rpartition(":")[2], 16)


def _ends_of(pids: Iterable[int]) -> frozenset[str]:
    """The ends of their connections that are theirs."""
    ends: set[str] = set()
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            connections = _connections(pid)
            for name in os.listdir(f"/proc/{pid}/fd"):
                with suppress(FileNotFoundError):
                    target = os.readlink(f"/proc/{pid}/fd/{name}")
                    if target.startswith("socket:[") and target[8:-1] in connections:
                        ends.add(connections[target[8:-1]].here)
    return frozenset(ends)


def _descriptors(pid: int, ports: frozenset[int], peers: frozenset[str]) -> Descriptors:
    connections = _connections(pid)
    files: list[str] = []
    tally: Counter[str] = Counter()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            continue
        if target.startswith("/"):
            files.append(target)
        elif target.startswith("socket:["):
            tally[_sort(connections.get(target[8:-1]), ports, peers)] += 1
        else:
            tally["other"] += 1
    return Descriptors(tuple(files), tally["client"], tally["upstream"], tally["other"])


def _sort(connection: _Connection | None, ports: frozenset[int], peers: frozenset[str]) -> str:
    if connection is None:
        return "other"
    if connection.port not in ports:
        return "upstream"
    return "peer" if connection.there in peers else "client"


def _connections(pid: int) -> dict[str, _Connection]:
    """The TCP sockets that are no listeners, by inode."""
    found: dict[str, _Connection] = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] != "0A":
                found[fields[9]] = _Connection(fields[1], fields[2])
    return found
