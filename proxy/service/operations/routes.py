"""Operations on the admin port: the query or JSON body goes to a worker, its reply comes back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import ValidationError

from . import openapi
from .carried_out import in_words
from .on_node import ON_NODE, NodeView, operations_of
from .shape import Operation, Reply
from .table import IN_WORKER

LARGEST_BODY: Final = 64 * 1024
"""Bytes of what is asked; the application's `client_max_size` must allow them."""


CarryOut = Callable[[str, dict[str, Any]], Awaitable[Reply]]


class OperationView(NodeView, Protocol):
    """Of one process or of a supervisor with its workers."""

    async def operate(self, verb: str, arguments: dict[str, Any]) -> Reply:
        """Have the operation carried out. Never raises."""
        ...


def add_operations(application: web.Application, view: OperationView) -> None:
    """Serve every operation of the table."""
    described = orjson.dumps(openapi.document(), option=orjson.OPT_APPEND_NEWLINE)

    async def describe(request: web.Request) -> web.Response:
        return web.Response(body=described, content_type="application/json")

    application.router.add_get(openapi.PATH, describe)
    for operation in IN_WORKER:
        application.router.add_route(operation.method, operation.path, _handler(operation, view.operate))
    ours = operations_of(view)
    for operation in ON_NODE:
        application.router.add_route(operation.method, operation.path, _handler(operation, ours.carry_out))


def _handler(operation: Operation, carry_out: CarryOut) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        arguments = await _arguments(operation, request)
        if isinstance(arguments, Reply):
            return _response(arguments)
        try:
            # Judged here as well: what makes no sense is not carried to a worker.
            operation.asked.model_validate(arguments)
        except ValidationError as error:
            return _response(Reply.refused(400, in_words(error)))
        return _response(await carry_out(operation.verb, arguments))

    return handle


async def _arguments(operation: Operation, request: web.Request) -> dict[str, Any] | Reply:
    """What is asked. A page in somebody's browser must not order anything: only what says it is JSON is taken as an
    order, which no form can; a DELETE or PUT no form can send at all."""
    given: dict[str, Any] = dict(request.match_info)
    if not operation.has_body:
        fields = operation.asked.model_fields
        for name in request.query:
            values = request.query.getall(name)
            many = name in fields and str(fields[name].annotation).startswith("tuple")
            given[name] = values if many else values[-1]
        return given
    if request.content_type != "application/json":
        return Reply.refused(415, "say that it is JSON: Content-Type: application/json")
    try:
        body = orjson.loads(await request.read() or b"{}")
    except orjson.JSONDecodeError as error:
        return Reply.refused(400, f"the body is no JSON: {error}")
    if not isinstance(body, dict):
        return Reply.refused(400, "the body is no JSON object")
    return {**body, **given}


def _response(reply: Reply) -> web.Response:
    body = orjson.dumps(reply.body, option=orjson.OPT_APPEND_NEWLINE)
    return web.Response(status=reply.status, body=body, content_type="application/json")
