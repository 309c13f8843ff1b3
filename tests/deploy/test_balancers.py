"""HAProxy and Envoy in front of two real nodes, with the configurations that are shipped."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from bench.hub.content import MIB
from tests.kit.files import Expected
from tests.kit.fleet import Fleet
from tests.kit.judges import DEPLOY, environment, judge, judged
from tests.kit.node import Address, own_places
from tests.kit.reader import Asked, Reader
from tests.kit.stage import Stage
from tests.kit.waiting import until


def test_haproxy_takes_its_configuration() -> None:
    assert "Configuration file is valid" in judged("haproxy", "-c", "-f", "haproxy.cfg", folder=DEPLOY / "haproxy")


def test_envoy_takes_its_configuration() -> None:
    assert "OK" in judged("envoy", "--mode", "validate", "-c", "envoy.yaml", folder=DEPLOY / "envoy")


@pytest.mark.parametrize("program", ["haproxy", "envoy"])
async def test_a_file_has_one_node_and_survives_it(stage: Stage, tmp_path: Path, program: str) -> None:
    """Ten files, each read whole and in ranges; then one of the two nodes is killed, and they are read again."""
    files = [stage.blob("acme/many", f"file-{number}.safetensors", 2 * MIB + number) for number in range(10)]
    fleet = await Fleet.start(stage, 2)
    stage.others_ask()
    async with _balancer(program, tmp_path, fleet) as url:
        for file in files:
            await _read(stage, url, file)
            await _read(stage, url, file, (MIB, MIB + 1000))
        asked = [
            {record["path"] for record in node.access_records() if record["status"] == 206} for node in fleet.nodes
        ]
        assert all(asked), "both nodes serve"
        assert not asked[0] & asked[1], "none serves ranges of the other's files"
        stage.allow_origin(None)  # the other node fetches what the dead one had
        await stage.kill(fleet.nodes[0])
        await until(lambda: _all_come(stage, url, files), "the other node serves all")


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
    with (folder / f"{program}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*words, env=environment(), stdout=log, stderr=log)
    try:
        await until(lambda: _is_ready(f"http://{place}"), f"{program} finds its nodes")
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
