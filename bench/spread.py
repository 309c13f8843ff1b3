"""How evenly a real fleet carries its load: node processes on loopback, readers by Zipf's law.

    python -m bench.spread --nodes 8 --requests 8000

What `bench.placement` simulates, for real: every node a process, clients that come to nodes by chance, files of one
slice each. Counted are the body bytes that each node sent, to clients and to its peers, and what the origin sent.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import secrets
import socket
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import aiohttp

from proxy.core.sizes import KIB, MIB

from . import stand
from .hub.server import SyntheticHub
from .hub.world import World

REPO = "acme/many"
AT_ONCE = 16
SENT = "penstock_response_bytes_total"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.spread", description="The load of real nodes under Zipf.")
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--files", type=int, default=600, help="of 256 KiB")
    parser.add_argument("--requests", type=int, default=8000)
    parser.add_argument("--zipf", type=float, default=1.0)
    parser.add_argument("--disk", type=int, default=32, help="MiB that one node may keep")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="penstock-spread-") as folder:
        json.dump(asyncio.run(_measured(given, Path(folder))), sys.stdout, indent=2)
    sys.stdout.write("\n")


async def _measured(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    world = World()
    repo = world.add_model(REPO)
    for number in range(given.files):
        repo.put_blob(f"{number}.safetensors", 256 * KIB)
    commit = repo.commit("Add files")
    with ExitStack() as stack:
        async with SyntheticHub.open(world) as hub:
            ports = _free_ports(given.nodes)
            (folder / "cluster.secret").write_text(secrets.token_hex(32))
            commands = [_command(folder, hub.url, ports, number, given.disk) for number in range(given.nodes)]
            facts = [await asyncio.to_thread(_started, stack, folder / f"n{n}", c) for n, c in enumerate(commands)]
            nodes = [stand.Mirror(one) for one in facts]
            await _asked(nodes, commit, given)
            sent = [await asyncio.to_thread(_sent, node) for node in nodes]
            total = sum(sent)
            return {
                "setting": vars(given),
                "hottest": max(sent) * len(sent) / total,
                "coolest": min(sent) * len(sent) / total,
                "sent": sent,
                "origin": hub.counters.total_bytes(),
                "wanted": given.files * 256 * KIB,
            }


def _started(stack: ExitStack, folder: Path, command: list[str]) -> dict[str, Any]:
    return stack.enter_context(stand.started(command, folder / "ready.json", folder / "log"))


def _command(folder: Path, origin: str, ports: Sequence[int], number: int, disk: int) -> list[str]:
    own = folder / f"n{number}"
    own.mkdir()
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    command = [sys.executable, "-m", "proxy.cli.main", "serve", "--listen", f"127.0.0.1:{ports[number]}"]
    command += ["--admin", "127.0.0.1:0", "--origin", origin, "--origin-allow-private"]
    command += ["--origin-redirect-host", "127.0.0.1", "--disk", f"{own}/disk={disk * MIB}", "--access-log", ""]
    command += ["--log-level", "warning", "--ready-file", f"{own}/ready.json", "--node", f"n{number}"]
    command += ["--advertise", urls[number], "--cluster-secret-file", str(folder / "cluster.secret")]
    return [*command, *itertools.chain.from_iterable(("--peer", url) for url in urls if url != urls[number])]


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


async def _asked(nodes: Sequence[stand.Mirror], commit: str, given: argparse.Namespace) -> None:
    """Every request in turn, some at once, each at a node by chance."""
    chance = Random(1)
    weights = list(itertools.accumulate(1 / (rank + 1) ** given.zipf for rank in range(given.files)))
    wanted = iter(chance.choices(range(given.files), cum_weights=weights, k=given.requests))

    async def client(session: aiohttp.ClientSession) -> None:
        for number in wanted:
            url = f"{chance.choice(nodes).endpoint}/{REPO}/resolve/{commit}/{number}.safetensors"
            async with session.get(url) as answer:
                answer.raise_for_status()
                await answer.read()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session, asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(client(session))


def _sent(node: stand.Mirror) -> int:
    return int(sum(count for name, count in node.counters().items() if name.startswith(SENT)))


if __name__ == "__main__":
    main()
