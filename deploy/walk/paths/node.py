"""The node itself breaks: its processes, its configuration, its certificate, its limits."""

from __future__ import annotations

import asyncio
import datetime
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final

import trustme

from bench.hub.content import MIB
from deploy.walk.ground import Ground
from deploy.walk.load import again_and_again, connected, pipelined
from deploy.walk.path import path
from tests.kit.node import Node, own_places
from tests.kit.waiting import until

HELD_UP: Final = 1.6
"""Seconds for which workers get no processor, again and again,"""
BETWEEN: Final = 0.3
"""and for which they do."""


@path("PenstockDown", broken="kill -9 of the whole node", done="started with the same command")
async def down(ground: Ground) -> None:
    node = await ground.node()
    await ground.quiet()
    await node.kill()
    await ground.fires()
    await ground.stage.start(node)
    await ground.over()


@path(
    "PenstockWorkersDie",
    broken="kill -9 of three workers",
    done="the log says `worker died` and `code` -9; what killed them is gone, and each was replaced by itself",
)
async def workers_die(ground: Ground) -> None:
    node = await ground.node(workers=3)
    await ground.quiet()
    for pid in node.workers:
        os.kill(pid, signal.SIGKILL)
    await ground.fires()
    assert "worker died" in node.said()
    await until(node.is_ready, "the workers are replaced")
    await ground.over()


@path(
    "PenstockReloadRefused",
    broken="a misspelt key in the file, and SIGHUP",
    done="the key that `penstock check` names mended, `penstock config reload`",
)
async def reload_refused(ground: Ground) -> None:
    node = await ground.node()
    await ground.quiet()
    file = node.plan.config_file
    right = file.read_text()
    file.write_text(right.replace("ref_ttl", "ref_tll"))
    node.signal(signal.SIGHUP)
    await ground.fires()
    assert "reload refused" in node.said()
    found = await ground.penstock("check", "--config", str(file))
    assert "ref_tll" in found.said, found
    file.write_text(right)
    done = await ground.command(node, "config", "reload")
    assert done.returncode == 0, done
    await ground.over()


@path(
    "PenstockCertificateEnds",
    "PenstockCertificateEnded",
    broken="a certificate that ends in an hour",
    done="a new pair in the same files, SIGHUP",
)
async def certificate_ends(ground: Ground) -> None:
    folder, authority = ground.stage.folder, trustme.CA()

    def issue(left: datetime.timedelta) -> None:
        end = datetime.datetime.now(datetime.UTC) + left
        issued = authority.issue_cert(own_places(1)[0].host, not_after=end)
        issued.private_key_pem.write_to_path(str(folder / "key.pem"))
        issued.cert_chain_pems[0].write_to_path(str(folder / "chain.pem"))

    issue(datetime.timedelta(hours=1))
    pair = {"server__tls_certificate": f"{folder}/chain.pem", "server__tls_key": f"{folder}/key.pem"}
    node = await ground.node(**pair)
    await ground.fires()
    issue(datetime.timedelta(days=90))
    node.signal(signal.SIGHUP)
    await ground.over()


@path(
    "PenstockFirstByteSlow",
    "PenstockLoopLag",
    broken="both workers get no processor for 1.6 s, again and again (SIGSTOP)",
    done="what took the processors stopped",
)
async def no_processor(ground: Ground) -> None:
    file = ground.stage.blob("acme/tiny", "model.safetensors", MIB // 2)
    node = await ground.node(workers=2)
    await ground.stage.read(node, file)
    await ground.quiet()

    async def read() -> None:
        await ground.stage.read(node, file)

    async with again_and_again(read), again_and_again(read):
        async with _held_up(node):
            await ground.fires()
        await ground.over()


@path(
    "PenstockFilesNearLimit",
    broken="200 connections to a node that may open 230 files",
    done="stopped, and started with a higher limit (`LimitNOFILE=`), with the same 200 connections",
)
async def files_near_limit(ground: Ground) -> None:
    node = await ground.node(wrapper=("prlimit", "--nofile=230:230"), server__supervised=True)
    await ground.quiet()
    async with connected(node, 200):
        await ground.fires()
    await node.stop()
    node.plan = replace(node.plan, wrapper=("prlimit", "--nofile=4096:4096"))
    await ground.stage.start(node)
    async with connected(node, 200):
        await ground.over()


@path(
    "PenstockClientsRefused",
    broken="six connections of one address against `limits.connections_per_client = 4`, again and again",
    done="`limits.connections_per_client = 100` and SIGHUP, with the same connections",
)
async def clients_refused(ground: Ground) -> None:
    node = await ground.node(limits__connections_per_client=4)
    await ground.quiet()

    async def six() -> None:
        async with connected(node, 6):
            await asyncio.sleep(0.1)

    await ground.fires(six)
    assert (await node.metrics()).total("connections_refused_total", reason="client_limit")
    node.configure(limits__connections_per_client=100)
    node.signal(signal.SIGHUP)
    await ground.over(six)


@path(
    "PenstockLogLinesLost",
    broken="the access log a pipe that nobody reads, and thousands of requests",
    done="the pipe is read again, under the same load",
)
async def log_lines_lost(ground: Ground) -> None:
    pipe = ground.stage.folder / "pipe"
    os.mkfifo(pipe)
    nobody = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        node = await ground.node(log__access=str(pipe))
        await ground.quiet()

        async def asked() -> None:
            await pipelined(node, 500)

        await ground.fires(asked)
        reader = await asyncio.create_subprocess_exec("cat", str(pipe), stdout=asyncio.subprocess.DEVNULL)
        try:
            await ground.over(asked)
        finally:
            reader.kill()
            await reader.wait()
    finally:
        os.close(nobody)


@path(
    "PenstockVersionsMixed",
    broken="one of two nodes runs the program under another version number",
    done="the upgrade is gone on with: the other is started with the new one too",
)
async def versions_mixed(ground: Ground) -> None:
    await ground.node()
    other = await ground.node(command=("-m", "deploy.walk.another_version"))
    await ground.fires()
    await other.stop()
    other.plan = replace(other.plan, command=("-m", "proxy.cli.main"))
    await ground.stage.start(other)
    await ground.over()


@path(
    "PenstockLeak",
    broken="a bug planted in one node: hints of Xet stay in its listings",
    done="`penstock doctor --endpoint http://mirror:8080` names the answer, for the report; the program before it",
)
async def leak(ground: Ground) -> None:
    ground.stage.blob("acme/tiny", "model.safetensors", MIB)
    node = await ground.node(command=("-m", "tests.kit.sabotage", "leave-xet-in"), xet__facade=False)
    await ground.quiet()
    assert (await ground.stage.ask(node, "/api/models/acme/tiny/tree/main")).status == 200
    await ground.fires()
    found = await ground.penstock("doctor", "--endpoint", node.url, "--repo", "acme/tiny")
    assert found.returncode == 4, found
    await node.stop()
    node.plan = replace(node.plan, command=("-m", "proxy.cli.main"))
    await ground.stage.start(node)
    assert (await ground.stage.ask(node, "/api/models/acme/tiny/tree/main")).status == 200
    await ground.over()


@asynccontextmanager
async def _held_up(node: Node) -> AsyncIterator[None]:
    """The workers run for a moment, and stand still for much longer."""
    workers = node.workers

    def all_get(number: signal.Signals) -> None:
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    async def a_moment() -> None:
        all_get(signal.SIGSTOP)
        await asyncio.sleep(HELD_UP)
        all_get(signal.SIGCONT)
        await asyncio.sleep(BETWEEN)

    async with again_and_again(a_moment):
        try:
            yield
        finally:
            all_get(signal.SIGCONT)
