"""The admin listener: metrics, health and status of the whole node, on a port clients never see."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from proxy.telemetry.exposition import CONTENT_TYPE

from .admission import Admission
from .blob_api import BlobView, add_blob_routes
from .cluster_api import ClusterView, add_cluster_routes
from .operations.routes import LARGEST_BODY, OperationView, add_operations


class View(ClusterView, BlobView, OperationView, Protocol):
    """What the admin pages show; one process or a supervisor with its workers."""

    async def reasons(self) -> list[str]:
        """Why the node should get no traffic; empty when it is ready."""
        ...

    async def status(self) -> dict[str, Any]: ...

    async def metrics(self) -> bytes: ...


@asynccontextmanager
async def admin_listener(sock: socket.socket, view: View, admission: Admission) -> AsyncIterator[None]:
    """Serve `view` on the bound socket `sock` until left, to those whom `admission` lets in."""
    runner = web.AppRunner(application_of(view, admission), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, sock).start()
        yield
    finally:
        await runner.cleanup()


def application_of(view: View, admission: Admission) -> web.Application:
    async def livez(request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(request: web.Request) -> web.Response:
        reasons = await view.reasons()
        body = {"ready": not reasons, "reasons": reasons}
        return web.Response(status=503 if reasons else 200, body=_json(body), content_type="application/json")

    async def status(request: web.Request) -> web.Response:
        return web.Response(body=_json(await view.status()), content_type="application/json")

    async def metrics(request: web.Request) -> web.Response:
        return web.Response(body=await view.metrics(), headers={"Content-Type": CONTENT_TYPE})

    application = web.Application(client_max_size=LARGEST_BODY, middlewares=[_doorkeeper(admission)])
    application.router.add_get("/metrics", metrics)
    application.router.add_get("/-/livez", livez)
    application.router.add_get("/-/readyz", readyz)
    application.router.add_get("/-/status", status)
    add_cluster_routes(application, view)
    add_blob_routes(application, view)
    add_operations(application, view)
    return application


def _doorkeeper(admission: Admission) -> Middleware:
    @web.middleware
    async def doorkeeper(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = request.headers.get("Host")
        if not admission.knows(host):
            return _refused(421, f"the admin port is not known as {host!r}; if it should be, put it into admin.names")
        if not admission.lets_in(request.path, request.headers.get("Authorization")):
            refused = _refused(401, "show the token of admin.token_file: Authorization: Bearer ...")
            refused.headers["WWW-Authenticate"] = 'Bearer realm="penstock admin"'
            return refused
        return await handler(request)

    return doorkeeper


def _refused(status: int, why: str) -> web.Response:
    return web.Response(status=status, body=_json({"error": why}), content_type="application/json")


def _json(value: Any) -> bytes:
    return orjson.dumps(value, default=str, option=orjson.OPT_APPEND_NEWLINE)
