"""A collector of OpenTelemetry: what nodes tell of their traces, kept."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Spans = list[dict[str, Any]]


def way_back(spans: Spans, trace: str, node: str, name: str) -> list[tuple[str, str]]:
    """Node and name of each span of `trace`, from the span `name` of `node` back to the client; empty until then."""
    of_trace = {one["id"]: one for one in spans if one["trace"] == trace}
    here = next((one for one in of_trace.values() if (one["node"], one["name"]) == (node, name)), None)
    found: list[tuple[str, str]] = []
    while here is not None:
        found.append((here["node"], here["name"]))
        here = of_trace.get(here["parent"])
    return found


@asynccontextmanager
async def collector() -> AsyncIterator[tuple[str, Spans]]:
    """A collector of OpenTelemetry, and the spans it was told."""
    spans: Spans = []

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
