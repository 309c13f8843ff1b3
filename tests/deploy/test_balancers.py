"""HAProxy and Envoy in front of real nodes, with the configurations that are shipped."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from bench.hub.content import MIB
from tests.kit.asking import ask
from tests.kit.files import Expected
from tests.kit.fleet import Fleet
from tests.kit.judges import DEPLOY, environment, judge, judged
from tests.kit.node import Address, Node, own_places
from tests.kit.reader import Asked, Reader
from tests.kit.stage import Stage
from tests.kit.waiting import until

STRAYS = 0.25
"""Of all files: those that go elsewhere for once, because a node has more under way than its share."""


def test_haproxy_takes_its_configuration() -> None:
    assert "Configuration file is valid" in judged("haproxy", "-c", "-f", "haproxy.cfg", folder=DEPLOY / "haproxy")


def test_envoy_takes_its_configuration() -> None:
    assert "OK" in judged("envoy", "--mode", "validate", "-c", "envoy.yaml", folder=DEPLOY / "envoy")


@pytest.mark.parametrize(("program", "strays"), [("haproxy", STRAYS), ("envoy", 0.45)])
async def test_a_file_has_one_node_and_survives_it(stage: Stage, tmp_path: Path, program: str, strays: float) -> None:
    """Files read whole, in ranges and by HEAD; then one of the three nodes is killed, and they are read again. With
    HAProxy its share alone moves. Envoy makes its ring anew, with more places for each node that is left: about a
    sixth of what those have changes between them too."""
    files = [stage.blob("acme/many", f"file-{number}.safetensors", MIB + number) for number in range(30)]
    fleet = await Fleet.start(stage, 3)
    stage.others_ask()
    async with _balancer(program, tmp_path, fleet) as url:
        for file in files:
            await _read(stage, url, file)
            await _read(stage, url, file, (1000, 2000))
            await _head(url, file)
        await until(lambda: len(_all_asked(fleet)) >= 2 * len(files), "all is in the logs")
        homes = [set(_parts_asked(node)) for node in fleet.nodes]
        assert all(homes), "every node serves"
        assert sum(map(len, homes)) - len(files) <= STRAYS * len(files), "few are asked for at two nodes"
        stage.allow_origin(None)  # others fetch what the dead one had
        await stage.kill(fleet.nodes[0])
        await until(lambda: _all_come(stage, url, files), "the others serve all")
        for file in files:
            await _read(stage, url, file, (0, 1000))
        await until(lambda: len(_all_asked(fleet)) >= 3 * len(files), "all is in the logs")
        now = [set(_parts_asked(node)) for node in fleet.nodes[1:]]
        assert now[0] | now[1] == {file.path for file in files}
        taken = [share - home - homes[0] for home, share in zip(homes[1:], now, strict=True)]
        assert sum(map(len, taken)) <= strays * len(files), (
            "who lives keeps its share, and takes part of the dead one's"
        )


@pytest.mark.parametrize("program", ["haproxy", "envoy"])
async def test_who_a_client_says_it_is_is_not_believed(stage: Stage, tmp_path: Path, program: str) -> None:
    """A node knows the balancer alone: its log names that, and its limits count that."""
    file = stage.blob("acme/tiny", "model.safetensors", MIB)
    fleet = await Fleet.start(stage, 1)
    stage.others_ask()
    async with _balancer(program, tmp_path, fleet) as url:
        reading = await Reader(url).read(Asked(file, file.commit, headers={"X-Forwarded-For": "198.51.100.7"}))
        assert reading.complete, reading
        stage.wants(file)
    [clients] = [{record["client"] for record in node.access_records()} for node in fleet.nodes]
    assert clients == {"127.0.0.1"}


def _parts_asked(node: Node) -> list[str]:
    """The paths of which clients had a range, or the head, from this node: for a whole it may turn to its peers."""
    records = [record for record in node.access_records() if record["route"] == "resolve"]
    return [record["path"] for record in records if record["status"] == 206 or record["method"] == "HEAD"]


def _all_asked(fleet: Fleet) -> list[str]:
    return [path for node in fleet.nodes for path in _parts_asked(node)]


async def _head(url: str, file: Expected) -> None:
    answer = await ask(url, "HEAD", file.target(), {})
    assert answer.status == 200
    assert answer.headers["Content-Length"] == str(file.size)
    assert answer.headers["ETag"] == f'"{file.etag}"'
    assert answer.body == b""


async def _read(stage: Stage, url: str, file: Expected, span: tuple[int, int] | None = None) -> None:
    reading = await Reader(url).read(Asked(file, file.commit, span=span))
    assert reading.complete, reading
    stage.wants(file, span)


async def _all_come(stage: Stage, url: str, files: list[Expected]) -> bool:
    """Whether all files are read. A connection to the dead node may be met once, before its balancer has seen it."""
    readings = [await Reader(url).read(Asked(file, file.commit)) for file in files]
    return all(reading.complete for reading in readings)


@asynccontextmanager
async def _balancer(program: str, folder: Path, fleet: Fleet) -> AsyncIterator[str]:
    """The program with the shipped configuration, but for the addresses; where clients reach it."""
    place = own_places(1, port=8090)[0]
    if program == "haproxy":
        config = folder / "haproxy.cfg"
        config.write_text(_haproxy(place, [node.data for node in fleet.nodes]))
        words = [judge(program), "-db", "-f", str(config)]
    else:
        config = folder / "envoy.yaml"
        config.write_text(_envoy(place, [node.data for node in fleet.nodes]))
        words = [judge(program), "--use-dynamic-base-id", "--concurrency", "1", "-l", "error", "-c", str(config)]
        words += ["--admin-address-path", str(folder / "admin")]
    with (folder / f"{program}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*words, env=environment(), stdout=log, stderr=log)
    try:
        await until(lambda: _is_ready(f"http://{place}"), f"{program} finds a node", 30)
        if program == "envoy":  # HAProxy takes its nodes for well until it knows better
            await until(lambda: _all_healthy(folder / "admin", len(fleet.nodes)), "envoy finds all nodes", 30)
        yield f"http://{place}"
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _haproxy(place: Address, nodes: list[Address]) -> str:
    text = (DEPLOY / "haproxy" / "haproxy.cfg").read_text().replace("bind :8080", f"bind {place}")
    text = text.replace("maxconn 50000", "maxconn 1000")  # this machine may allow no more open files
    shipped = re.compile(r"^    server .*\n", re.M)
    assert len(shipped.findall(text)) == 3
    servers = "".join(f"    server cache-{number} {node}\n" for number, node in enumerate(nodes))
    return shipped.sub("", text).rstrip() + "\n" + servers


def _envoy(place: Address, nodes: list[Address]) -> str:
    text = (DEPLOY / "envoy" / "envoy.yaml").read_text()
    text = text.replace("address: 0.0.0.0, port_value: 8080", f"address: {place.host}, port_value: {place.port}")
    text = text.replace("port_value: 9901", "port_value: 0")
    shipped = re.compile(r"^ +- endpoint: .*\n", re.M)
    [line, *more] = shipped.findall(text)
    assert len(more) == 2
    ours = [
        line.replace("cache-1.example, port_value: 8080", f"{node.host}, port_value: {node.port}") for node in nodes
    ]
    return shipped.sub("", text) + "".join(ours)


async def _is_ready(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/-/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def _all_healthy(admin: Path, count: int) -> bool:
    """What Envoy says at the address it has written down."""
    answer = await ask(f"http://{admin.read_text().strip()}", "GET", "/stats?filter=fleet.membership_healthy", {})
    return answer.body.decode().split() == ["cluster.fleet.membership_healthy:", str(count)]
