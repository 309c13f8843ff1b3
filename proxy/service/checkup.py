"""Is this machine fit for the node of a configuration? (`penstock doctor` without --endpoint.) Each finding that is not
good comes with what to do about it. Looks only; what it writes to try a disk out, it removes.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.config.schema import Address, Config
from proxy.core.clock import Clock
from proxy.core.sizes import MIB

from .disk_checkup import disk_findings
from .finding import Finding, Verdict
from .folders import disks_looked_at
from .preflight import hints, obstacles
from .surroundings import surroundings

DESCRIPTORS: Final = 65_536
PER_CONNECTION: Final = 3
"""Descriptors: the client's socket, its duplicate for sendfile, and the file."""


async def examined(config: Config, clock: Clock, serving: bool) -> AsyncIterator[Finding]:
    """Everything that can be seen from here; `serving`: a node of this configuration runs, so its ports are taken."""
    looks = disks_looked_at(config.store.disks)
    for text in obstacles(config, looks):
        yield _noted(Verdict.BAD, text)
    for text in hints(config, looks):
        yield _noted(Verdict.POOR, text)
    for finding in disk_findings(looks, config.store.free_floor):
        yield finding
    for finding in (_descriptors(config), *kernel(_sysctl)):
        yield finding
    if not serving:
        for flag, address in (("--listen", config.server.listen), ("--admin", config.server.admin)):
            yield await _port(flag, address)
    async for finding in surroundings(config, clock):
        yield finding


def _noted(verdict: Verdict, text: str) -> Finding:
    """Of the form `what is so; what to do`."""
    says, _, fix = text.rpartition("; ")
    return Finding("configuration", verdict, says or text, fix if says else "penstock config show --origin")


# --- limits and the kernel ------------------------------------------------------------------------------------------


def _descriptors(config: Config) -> Finding:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = min(DESCRIPTORS, config.limits.connections * PER_CONNECTION)
    if hard != resource.RLIM_INFINITY and hard < needed:
        says = f"at most {hard} open files; {config.limits.connections} connections may need {needed}"
        return Finding("limits", Verdict.POOR, says, f"ulimit -n {needed}, or LimitNOFILE={needed} in the unit")
    return Finding("limits", Verdict.GOOD, f"{'any number of' if hard == resource.RLIM_INFINITY else hard} open files")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The least that a setting of the kernel should be; `field` is which of its numbers."""

    name: str
    field: int
    least: int
    what: str


KERNEL: Final = (
    Wanted("net.core.somaxconn", 0, 4096, "connections that wait while the node is busy"),
    Wanted("net.ipv4.tcp_max_syn_backlog", 0, 1024, "connections that are being opened"),
    Wanted("net.ipv4.tcp_wmem", 2, 4 * MIB, "bytes on their way to one client far off"),
    Wanted("net.ipv4.tcp_rmem", 2, 6 * MIB, "bytes on their way from an origin far off"),
    Wanted("net.core.wmem_max", 0, 212_992, "bytes that a program may set a send buffer to"),
    Wanted("net.core.rmem_max", 0, 212_992, "bytes that a program may set a receive buffer to"),
)
"""The node sets no buffer itself (decision 0006): what counts is how far the kernel goes on its own, `tcp_wmem` and
`tcp_rmem`. `*_max` are for hf_xet and what else is in the process; less than the kernel's own default is a mistake."""


def kernel(read: Callable[[str], str]) -> Iterator[Finding]:
    """What is to be said of the kernel's settings; `read` gives the text of one by its name, and raises OSError where
    there is none (in a container some are not shown)."""
    for wanted in KERNEL:
        try:
            texts = read(wanted.name).split()
            found = int(texts[wanted.field])
        except (OSError, ValueError, IndexError):
            continue
        if found >= wanted.least:
            yield Finding("kernel", Verdict.GOOD, f"{wanted.name}: {found} ({wanted.what})")
        else:
            texts[wanted.field] = str(wanted.least)
            fix = f"sysctl -w {wanted.name}='{' '.join(texts)}'      (to stay: in /etc/sysctl.d/penstock.conf)"
            says = f"{wanted.name} is {found} ({wanted.what}); {wanted.least} is better"
            yield Finding("kernel", Verdict.POOR, says, fix)


def _sysctl(name: str) -> str:
    return Path(f"/proc/sys/{name.replace('.', '/')}").read_text()


async def _port(flag: str, address: Address) -> Finding:
    about = f"port {address}"
    try:
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), address.host, address.port)
    except OSError as error:
        fix = f"ss -ltnp 'sport = :{address.port}', or another: {flag} {address.host}:0"
        return Finding(about, Verdict.BAD, f"it cannot be listened on: {error.strerror}", fix)
    server.close()
    return Finding(about, Verdict.GOOD, "free")
