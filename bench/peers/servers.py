"""The servers that are compared: how each is started, held to one core, looked into and ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bench.node import cpu_seconds

START_WITHIN: Final = 60.0
END_WITHIN: Final = 10.0
_LOOK_AGAIN: Final = 0.02
_CONFIGS: Final = Path(__file__).parent / "configs"


class NotInstalled(Exception):
    """A peer is not there; `make bench-peers` installs it."""


class NotServing(Exception):
    """A server did not come up; the text has the end of its log."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where the origins are: HOST:PORT of the Hub, of its CDN, and of another server."""

    hub: str
    cdn: str
    site: str
    """A generic origin, whose answers say for how long they are good."""


@dataclass(frozen=True, slots=True)
class Installed:
    """Where `make bench-peers` has put what it installed."""

    debian: Path
    olah: Path

    def program(self, name: str) -> Path:
        """Raises NotInstalled."""
        for folder in ("usr/sbin", "usr/bin"):
            if (self.debian / folder / name).exists():
                return self.debian / folder / name
        raise NotInstalled(f"{name} is not in {self.debian}; run: make bench-peers")

    @property
    def environment(self) -> dict[str, str]:
        """For programs that look for their libraries."""
        libraries = self.debian / "usr/lib/x86_64-linux-gnu"
        places = [*self.debian.glob("usr/lib/*-linux-gnu"), self.debian / "usr/lib/varnish", libraries]
        return {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, places))}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to start a server: its command, its environment, and the program that names its version."""

    command: list[str]
    version: list[str]
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


@dataclass(frozen=True, slots=True)
class Server:
    """One of those that are compared."""

    name: str
    is_mirror: bool
    """It speaks the Hub's dialect and is asked for files of repos; else it is a cache and is asked for the CDN's own
    addresses, which spares it the Hub's redirect."""
    takes_any_origin: bool = True
    """It caches any server's answers."""

    def recipe(self, installed: Installed, upstream: Upstream, address: str, folder: Path) -> Recipe:
        """Writes what configuration it needs into `folder`. Raises NotInstalled."""
        return _RECIPES[self.name](installed, upstream, address, folder)


PENSTOCK = Server("penstock", is_mirror=True)
NGINX = Server("nginx", is_mirror=False)
NGINX_SLICE = Server("nginx-slice", is_mirror=False)
VARNISH = Server("varnish", is_mirror=False)
OLAH = Server("olah", is_mirror=True, takes_any_origin=False)
SERVERS = (PENSTOCK, NGINX, NGINX_SLICE, VARNISH, OLAH)


@dataclass(frozen=True, slots=True)
class Running:
    """A server that serves."""

    server: Server
    address: tuple[str, int]
    version: str
    pid: int
    folder: Path
    ready_after: float
    """Seconds from its start until it took a connection."""

    @property
    def admin(self) -> str:
        """HOST:PORT of the admin port, which Penstock alone has."""
        return str(json.loads((self.folder / "ready.json").read_bytes())["admin"])

    def cpu_seconds(self) -> float:
        """Of all its processes so far."""
        return sum(cpu_seconds(pid) for pid in tree(self.pid))

    def memory(self) -> int:
        """Bytes of memory that are its own: what processes share is counted once (PSS)."""
        return sum(_proportional(pid) for pid in tree(self.pid))


@contextlib.asynccontextmanager
async def running(
    server: Server, installed: Installed, upstream: Upstream, folder: Path, core: int | None
) -> AsyncIterator[Running]:
    """The server with its cache in `folder`, which is made, held to `core`. Raises NotInstalled, NotServing."""
    folder.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    address = f"127.0.0.1:{port}"
    recipe = server.recipe(installed, upstream, address, folder)
    version = await _version(recipe)
    held = ["taskset", "-c", str(core)] if core is not None else []
    log = folder / "log"
    began = asyncio.get_running_loop().time()
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *held,
            *recipe.command,
            cwd=folder,
            env={**recipe.environment, "HOME": str(folder)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        await _serving(process, port, log)
        ready_after = asyncio.get_running_loop().time() - began
        yield Running(server, ("127.0.0.1", port), version, process.pid, folder, ready_after)
    finally:
        await _ended(process)


def tree(pid: int) -> list[int]:
    """The process and all below it that are alive."""
    found, left = [], [pid]
    while left:
        one = left.pop()
        found.append(one)
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                left += map(int, (task / "children").read_text().split())
    return found


async def _serving(process: asyncio.subprocess.Process, port: int, log: Path) -> None:
    try:
        async with asyncio.timeout(START_WITHIN):
            while process.returncode is None:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    return
                await asyncio.sleep(_LOOK_AGAIN)
    except TimeoutError:
        pass
    raise NotServing(f"it does not serve:\n{_end(log)}")


async def _ended(process: asyncio.subprocess.Process) -> None:
    """The whole group: some leave children behind when their parent is ended alone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_WITHIN):
                await process.wait()
                return


async def _version(recipe: Recipe) -> str:
    """The first number with two dots or one in what the program says of itself."""
    process = await asyncio.create_subprocess_exec(
        *recipe.version,
        env=dict(recipe.environment),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    match = re.search(rb"\d+\.\d+(?:\.\d+)?", said)
    return match[0].decode() if match else "?"


def _end(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _proportional(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _written(template: str, target: Path, **named: object) -> Path:
    environment = Environment(
        loader=FileSystemLoader(_CONFIGS), autoescape=False, undefined=StrictUndefined, trim_blocks=True
    )
    target.write_text(environment.get_template(template).render(**named) + "\n")
    return target


def _penstock(installed: Installed, upstream: Upstream, address: str, folder: Path) -> Recipe:
    command = [sys.executable, "-m", "proxy.cli.main"]
    serve = [*command, "serve", "--listen", address, "--admin", "127.0.0.1:0", "--origin", f"http://{upstream.hub}"]
    serve += ["--origin-redirect-host", "127.0.0.1", "--origin-allow-private"]
    beside = folder / "penstock.toml"  # the Hub of the flags: /o/site/
    beside.write_text(f'[[origin]]\nname = "site"\nurl = "http://{upstream.site}/site"\n')
    serve += ["--config", str(beside)]
    # Access log off, as nginx's is.
    serve += ["--disk", f"{folder}/disk=16GiB", "--workers", "1", "--access-log", ""]
    serve += ["--ready-file", f"{folder}/ready.json"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return Recipe(serve, [*command, "version"], environment)


def _nginx(installed: Installed, upstream: Upstream, address: str, folder: Path, *, slice_: bool = False) -> Recipe:
    program = str(installed.program("nginx"))
    named: dict[str, object] = {
        "address": address,
        "hub": upstream.hub,
        "cdn": upstream.cdn,
        "site": upstream.site,
        "folder": folder,
        "slice": slice_,
    }
    named["is_root"] = os.geteuid() == 0
    config = _written("nginx.conf", folder / "nginx.conf", **named)
    return Recipe([program, "-p", str(folder), "-c", str(config)], [program, "-v"], installed.environment)


def _nginx_slice(installed: Installed, upstream: Upstream, address: str, folder: Path) -> Recipe:
    return _nginx(installed, upstream, address, folder, slice_=True)


def _varnish(installed: Installed, upstream: Upstream, address: str, folder: Path) -> Recipe:
    program = str(installed.program("varnishd"))
    (hub_host, _, hub_port), (cdn_host, _, cdn_port) = upstream.hub.rpartition(":"), upstream.cdn.rpartition(":")
    named = {"hub": upstream.hub, "hub_host": hub_host, "hub_port": hub_port}
    named |= {"cdn": upstream.cdn, "cdn_host": cdn_host, "cdn_port": cdn_port, "site": upstream.site}
    named["site_host"], _, named["site_port"] = upstream.site.rpartition(":")
    config = _written("varnish.vcl", folder / "varnish.vcl", **named)
    command = [program, "-F", "-j", "none", "-n", str(folder / "work"), "-a", address, "-f", str(config)]
    # Memory, as its documentation advises where there is enough; large chunks for large files.
    command += ["-s", "malloc,16g", "-p", "fetch_chunksize=1m", "-p", "thread_pool_min=200"]
    return Recipe(command, [program, "-V"], installed.environment)


def _olah(installed: Installed, upstream: Upstream, address: str, folder: Path) -> Recipe:
    python = installed.olah / "bin" / "python"
    program = installed.olah / "bin" / "olah-cli"
    if not program.exists():
        raise NotInstalled(f"olah is not in {installed.olah}; run: make bench-peers")
    host, _, port = address.rpartition(":")
    named = {"host": host, "port": port, "address": address, "folder": folder}
    config = _written("olah.toml", folder / "olah.toml", hub=upstream.hub, cdn=upstream.cdn, **named)
    command = [str(program), "-c", str(config), "--host", host, "--port", port, "--log-path", str(folder / "logs")]
    said = "from importlib.metadata import version; print(version('olah'))"
    return Recipe(command, [str(python), "-c", said])


_RECIPES = {
    "penstock": _penstock,
    "nginx": _nginx,
    "nginx-slice": _nginx_slice,
    "varnish": _varnish,
    "olah": _olah,
}
