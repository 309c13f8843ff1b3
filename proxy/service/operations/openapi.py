"""The admin API as an OpenAPI 3.1 document, made from the tables that the routes are made from."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import proxy

from .shape import Operation
from .table import OPERATIONS

PATH: Final = "/-/api/openapi.json"
_REF: Final = "#/components/schemas/{model}"
_ERROR: Final = {"$ref": "#/components/schemas/Error"}
_ALWAYS: Final = (
    (400, "An argument is wrong; `error` says which."),
    (401, "The token of admin.token_file is missing."),
)
_JSON: Final = {"type": "object"}

_PLAIN: Final[tuple[tuple[str, str, str, dict[int, tuple[str, str]]], ...]] = (
    ("get", "/-/livez", "Whether the process answers.", {200: ("text/plain", "It does.")}),
    (
        "get",
        "/-/readyz",
        "Whether the node should get traffic; the reasons when not.",
        {200: ("application/json", "It should."), 503: ("application/json", "It should not.")},
    ),
    ("get", "/-/status", "What each worker holds and does.", {200: ("application/json", "The status.")}),
    ("get", "/metrics", "The metrics of the whole node.", {200: ("text/plain", "The page, for Prometheus.")}),
    ("get", PATH, "This document.", {200: ("application/json", "OpenAPI 3.1.")}),
    (
        "get",
        "/-/api/cluster",
        "The fleet as this node sees it.",
        {200: ("application/json", "Its members."), 404: ("application/json", "The node is in no cluster.")},
    ),
    (
        "get",
        "/-/api/cluster/placement",
        "Who owns the slices of a blob.",
        {200: ("application/json", "Owners, best first."), 404: ("application/json", "The node is in no cluster.")},
    ),
    (
        "post",
        "/-/api/cluster/drain",
        "Own no slice any more.",
        {
            200: ("application/json", "The fleet as it will be."),
            404: ("application/json", "The node is in no cluster."),
            409: ("application/json", "No other node is up."),
        },
    ),
    (
        "post",
        "/-/api/purge",
        "Drop a blob from the disks of the whole fleet.",
        {202: ("application/json", "It is being dropped.")},
    ),
)
"""The routes that are no operations: method, path, purpose, and by status what is answered."""
_KEY: Final = {
    "name": "key",
    "in": "query",
    "required": True,
    "schema": {"type": "string"},
    "description": "The key of a blob: sha256: and 64 hexadecimal digits.",
}
_SLICES: Final = {"name": "slices", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 10_000}}
_PARAMETERS: Final = {"/-/api/cluster/placement": [_KEY, _SLICES], "/-/api/purge": [_KEY]}


def document() -> dict[str, Any]:
    """The document, as JSON."""
    models: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = []
    for one in OPERATIONS:
        models += [(one.asked, "validation"), (one.told, "serialization")]
    schemas = models_json_schema(models, ref_template=_REF)[1]["$defs"]
    paths: dict[str, dict[str, Any]] = {}
    for method, path, purpose, answers in _PLAIN:
        paths.setdefault(path, {})[method] = _plain(method, path, purpose, answers)
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    error = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Penstock admin API",
            "version": proxy.__version__,
            "description": "What an operator has a node do. Served on server.admin; off loopback with a token.",
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {}],
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Error": error},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    told = {"$ref": _REF.format(model=operation.told.__name__)}
    responses = {str(operation.status): _response(operation.purpose, told)}
    # One status may stand for several reasons.
    for status, why in (*_ALWAYS, *operation.refusals, (503, "The node is starting.")):
        responses[str(status)] = _response(why, _ERROR)
    asked: dict[str, Any] = operation.asked.model_json_schema(ref_template=_REF)
    in_path = re.findall(r"{(\w+)}", operation.path)
    parameters = [
        {
            "name": name,
            "in": "path" if name in in_path else "query",
            "required": name in in_path or name in asked.get("required", ()),
            "schema": schema,
        }
        for name, schema in asked.get("properties", {}).items()
        if name in in_path or not operation.has_body
    ]
    found: dict[str, Any] = {
        "operationId": operation.verb,
        "summary": operation.purpose,
        "parameters": parameters,
        "responses": responses,
    }
    if operation.has_body:
        responses["415"] = _response("The request does not say that it is JSON.", _ERROR)
        reference = {"$ref": _REF.format(model=operation.asked.__name__)}
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": reference}}}
    return found


def _plain(method: str, path: str, purpose: str, answers: dict[int, tuple[str, str]]) -> dict[str, Any]:
    name = f"{method}{re.sub(r'[^a-z]+', '_', path)}".rstrip("_")
    responses = {
        str(status): {
            "description": why,
            "content": {kind: {"schema": _JSON if "json" in kind else {"type": "string"}}},
        }
        for status, (kind, why) in answers.items()
    }
    if path in _PARAMETERS:
        responses["400"] = _response("The key is none.", _ERROR)
    if method == "post":
        responses["415"] = _response("The request does not say that it is JSON.", _ERROR)
    if path.startswith("/-/api/") and path != PATH:
        responses["503"] = _response("The node is starting.", _ERROR)
    return {
        "operationId": name,
        "summary": purpose,
        "parameters": _PARAMETERS.get(path, []),
        "responses": responses,
    }


def _response(why: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": why, "content": {"application/json": {"schema": schema}}}
