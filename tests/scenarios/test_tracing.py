"""One trace follows a miss from the node that was asked to the owner to the origin."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.hub.content import MIB
from tests.kit.fleet import Fleet
from tests.kit.stage import Stage
from tests.kit.waiting import until

ASKED = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{ASKED}-00f067aa0ba902b7-01"


async def test_one_trace_leads_from_the_edge_to_the_owner_to_the_origin(stage: Stage) -> None:
    async with _collector() as (url, spans):
        fleet = await Fleet.start(stage, 2, tracing__endpoint=url)
        edge, owner = fleet.nodes
        file = fleet.file_of({0: owner}, 3 * MIB)
        reading = await stage.read(edge, file, headers={"traceparent": PARENT})
        assert reading.complete

        def way() -> list[tuple[str, str]]:
            """Node and name of each span, from the origin's back to the client."""
            of_trace = {one["id"]: one for one in spans if one["trace"] == ASKED}
            ends = [one for one in of_trace.values() if one["node"] == "n1" and one["name"] == "origin cdn"]
            here, found = ends[0] if ends else None, []
            while here is not None:
                found.append((here["node"], here["name"]))
                here = of_trace.get(here["parent"])
            return found

        await until(lambda: len(way()) == 4, "the whole way is told", within=20.0)
        assert way() == [("n1", "origin cdn"), ("n1", "GET"), ("n0", "peer"), ("n0", "GET")]
        assert not any("traceparent" in map(str.lower, request.headers) for request in stage.hub.log)
        assert [one for one in spans if "token" in str(one).lower()] == []


async def test_the_origin_is_told_when_that_is_wanted(stage: Stage) -> None:
    async with _collector() as (url, _):
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


@asynccontextmanager
async def _collector() -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """A collector of OpenTelemetry, and the spans it was told."""
    spans: list[dict[str, Any]] = []

    async def traces(request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            traits = {one.key: one.value.string_value for one in resource.resource.attributes}
            for scope in resource.scope_spans:
                spans.extend(
                    {
                        "node": traits["service.instance.id"],
                        "name": span.name,
                        "id": span.span_id.hex(),
                        "parent": span.parent_span_id.hex(),
                        "trace": span.trace_id.hex(),
                        "traits": {one.key: one.value.string_value for one in span.attributes},
                    }
                    for span in scope.spans
                )
        return web.Response(content_type="application/x-protobuf")

    application = web.Application()
    application.router.add_post("/v1/traces", traces)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"http://127.0.0.1:{port}", spans
    finally:
        await runner.cleanup()
