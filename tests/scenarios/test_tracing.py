"""One trace follows a miss from the node that was asked to the owner to the origin."""

from __future__ import annotations

from pathlib import Path

from bench.hub.content import MIB
from tests.kit.asking import ask
from tests.kit.collector import collector, way_back
from tests.kit.fleet import Fleet
from tests.kit.stage import Stage
from tests.kit.waiting import until
from tests.kit.webfleet import WebFleet
from tests.kit.weborigin import Document, WebSite

ASKED = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{ASKED}-00f067aa0ba902b7-01"


async def test_one_trace_leads_from_the_edge_to_the_owner_to_the_origin(stage: Stage) -> None:
    async with collector() as (url, spans):
        fleet = await Fleet.start(stage, 2, tracing__endpoint=url)
        edge, owner = fleet.nodes
        file = fleet.file_of({0: owner}, 3 * MIB)
        reading = await stage.read(edge, file, headers={"traceparent": PARENT})
        assert reading.complete

        def way() -> list[tuple[str, str]]:
            return way_back(spans, ASKED, "n1", "origin cdn")

        await until(lambda: len(way()) == 4, "the whole way is told", within=20.0)
        assert way() == [("n1", "origin cdn"), ("n1", "GET"), ("n0", "peer"), ("n0", "GET")]
        assert not any("traceparent" in map(str.lower, request.headers) for request in stage.hub.log)
        assert [one for one in spans if "token" in str(one).lower()] == []


async def test_likewise_before_a_generic_origin(tmp_path: Path) -> None:
    content = bytes(range(256)) * (12 * MIB // 256)
    async with (
        collector() as (url, spans),
        WebSite.open() as site,
        WebFleet.open(tmp_path, site.url, 2, **{"tracing.endpoint": url}) as fleet,
    ):
        edge, owner = fleet.nodes
        tag = fleet.validator("/large", len(content), owner)
        fields = {"Cache-Control": "max-age=600", "Accept-Ranges": "bytes"}
        site.at("/large", Document(content, fields, etag=f'"{tag}"'))
        answer = await ask(edge.url, "GET", "/large", {"traceparent": PARENT})
        assert answer.body == content
        wanted = [("n1", "origin web"), ("n1", "GET"), ("n0", "peer"), ("n0", "GET")]
        await until(lambda: way_back(spans, ASKED, "n1", "origin web") == wanted, "the whole way is told", within=20.0)


async def test_the_origin_is_told_when_that_is_wanted(stage: Stage) -> None:
    async with collector() as (url, _):
        file = stage.blob("acme/tiny", "model.safetensors", MIB)
        node = await stage.node(tracing__endpoint=url, tracing__to_origin=True)
        assert (await stage.read(node, file, headers={"traceparent": PARENT})).complete
        told = [request.headers["traceparent"] for request in stage.hub.log if "traceparent" in request.headers]
        assert told
        assert all(ASKED in one for one in told)


async def test_a_collector_that_is_away_costs_no_client_anything(stage: Stage) -> None:
    file = stage.blob("acme/tiny", "model.safetensors", MIB)
    node = await stage.node(tracing__endpoint="http://127.0.0.1:9")
    assert (await stage.read(node, file)).complete
