"""Blobs on the admin port.

    POST /-/api/purge?key=     drop a blob from the disks of this node, and of all nodes of its fleet (202; JSON)

It is not said when it is done: nodes that are cut off now drop it when they are back, within a day. A node that dies in
that very moment may not have told anybody: it does no harm to ask again, anywhere. Whoever wants the blob next has it
fetched anew. As in `cluster_api`, only a request that says it is JSON is taken.
"""

from __future__ import annotations

from typing import Protocol

import orjson
from aiohttp import web

from proxy.core.blob import BlobKey

from .cluster_api import STARTING, key_of, refusal


class BlobView(Protocol):
    """Of one process or of a supervisor with its workers."""

    async def purge(self, key: BlobKey) -> bool:
        """Have the blob dropped everywhere; False while nobody can."""
        ...


def add_blob_routes(application: web.Application, view: BlobView) -> None:
    """Serve the path at the head of this file."""

    async def purge(request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            raise refusal(415, "say that it is JSON: Content-Type: application/json")
        key = key_of(request)
        if not await view.purge(key):
            raise refusal(503, STARTING)
        body = orjson.dumps({"purged": str(key)}, option=orjson.OPT_APPEND_NEWLINE)
        return web.Response(status=202, body=body, content_type="application/json")

    application.router.add_post("/-/api/purge", purge)
