"""The OpenAPI document of the admin port: valid, complete, and true of a real node."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, cast

import aiohttp
import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from bench.hub.content import MIB
from proxy.service.admin import View, application_of
from proxy.service.admission import Admission
from proxy.service.operations.openapi import document
from proxy.service.operations.shape import Reply
from proxy.service.operations.table import OPERATIONS

from .verbs import Operator, operated

pytestmark = pytest.mark.asyncio(loop_scope="module")

REPO = "acme/tiny"
NO_KEY = "sha256:" + "7a" * 32

ASKED: list[tuple[str, dict[str, Any], int]] = [
    ("stats", {}, 200),
    ("reload", {"dry_run": True}, 200),
    ("reload", {"dry": True}, 400),
    ("renewal", {}, 200),
    ("renew", {"dry_run": True}, 409),
    ("renew", {"now": True}, 400),
    ("explain-file", {"url": f"/{REPO}/resolve/main/config.json"}, 200),
    ("explain-file", {"url": "/a/../b"}, 400),
    ("explain-file", {"url": "http://[a/b"}, 400),
    ("explain-file", {}, 400),
    ("repos", {}, 200),
    ("repos", {"limit": 0}, 400),
    ("info", {"repo": REPO}, 200),
    ("info", {"repo": "acme/nothing"}, 404),
    ("info", {}, 400),
    ("blob", {"key": "KEY"}, 200),
    ("blob", {"key": NO_KEY}, 404),
    ("blob", {"key": "nothing"}, 400),
    ("pins", {}, 200),
    ("pin", {"repo": REPO, "include": ["*.json"]}, 200),
    ("pin", {"repo": "acme/nothing"}, 404),
    ("remove", {"repo": REPO, "dry_run": True}, 409),
    ("unpin", {"repo": REPO}, 200),
    ("unpin", {"repo": REPO}, 404),
    ("remove", {"repo": REPO, "dry_run": True}, 200),
    ("remove", {"repo": "acme/nothing"}, 404),
    ("remove", {"repo": REPO, "unheard_of": 1}, 400),
    ("stale", {"repo": REPO}, 200),
    ("stale", {"repo": "acme/nothing"}, 404),
    ("prune", {"to": 1, "dry_run": True}, 200),
    ("void", {"target": "/of/no/generic/origin"}, 404),
    ("void", {}, 400),
    ("explain", {"target": "/of/no/generic/origin"}, 404),
    ("explain", {"target": "nothing"}, 400),
    ("prune", {"to": 7}, 400),
    ("jobs", {}, 200),
    ("job", {"id": "JOB"}, 200),
    ("job", {"id": "warm-0"}, 404),
    ("cancel", {"id": "JOB"}, 409),
    ("cancel", {"id": "warm-0"}, 404),
    ("warm", {"repo": REPO}, 202),
    ("warm", {"repo": "../nothing"}, 400),
    ("verify", {"repo": REPO, "rate": "1MB"}, 202),
    ("verify", {"repo": "acme/nothing"}, 404),
    ("verify", {"rate": "fast"}, 400),
    ("export", {"path": "/nowhere/bundle", "repos": [REPO]}, 202),
    ("export", {"path": "/nowhere/bundle", "repos": [REPO, "acme/nothing@v1"]}, 404),
    ("export", {"path": "bundle", "repos": []}, 400),
    ("import", {"path": "/nowhere/bundle"}, 202),
    ("seed", {"path": "/nowhere", "kind": "olah"}, 202),
    ("seed", {"path": "/nowhere", "kind": "other"}, 400),
    ("scrub", {"rate": 1024}, 202),
    ("scrub", {}, 409),
    ("scrub", {"rate": 1}, 400),
]
"""What is asked of each operation, and the status of the answer, in order."""


class Nobody:
    """A node that is asked for its routes alone."""

    async def operate(self, verb: str, arguments: dict[str, Any]) -> Reply:
        return Reply.refused(503, "nobody is here")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Operator]:
    async with operated(tmp_path_factory.mktemp("openapi")) as found:
        found.stage.repo(REPO).put_text("config.json", "{}")
        found.stage.blob(REPO, "model.safetensors", 2 * MIB)
        assert (await found.says("warm", REPO)).returncode == 0
        yield found


async def test_the_document_is_valid_and_served(operator: Operator) -> None:
    validate(document())
    assert await operator.api("GET", "/-/api/openapi.json") == (200, document())


async def test_every_route_is_described_and_answers_so(operator: Operator) -> None:
    described = {(path, method) for path, item in document()["paths"].items() for method in item}
    routes = application_of(cast(View, Nobody()), Admission(frozenset())).router.routes()
    served = {
        (str(route.resource.canonical), route.method.lower())
        for route in routes
        if route.resource is not None and route.method != "HEAD"
    }
    assert served == described
    for path, method in described - {("/-/api/drain", "post")}:  # ends the node: see test_node
        status, _ = await asked(operator, method, re.sub(r"{\w+}", "x-1", path), {})
        assert str(status) in document()["paths"][path][method]["responses"], (method, path, status)


async def asked(operator: Operator, method: str, path: str, arguments: dict[str, Any]) -> tuple[int, Any]:
    how: dict[str, Any] = {"json": arguments} if method in ("post", "put") else {"params": arguments}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"http://{operator.node.admin}{path}", **how) as answer,
    ):
        is_json = answer.content_type == "application/json"
        return answer.status, await answer.json() if is_json else await answer.text()


async def test_every_operation_answers_as_the_document_says(operator: Operator) -> None:
    described, job = document(), (await operator.json("jobs"))["jobs"][0]["id"]
    key = next(file["key"] for file in (await operator.json("info", REPO))["files"] if file["size"] > MIB)
    assert {verb for verb, _, _ in ASKED} | {"drain"} == {operation.verb for operation in OPERATIONS}
    by_verb = {operation.verb: operation for operation in OPERATIONS}
    for verb, arguments, wanted in ASKED:
        operation = by_verb[verb]
        given = {name: {"KEY": key, "JOB": job}.get(str(value), value) for name, value in arguments.items()}
        path = operation.path
        for name in re.findall(r"{(\w+)}", operation.path):
            path = path.replace(f"{{{name}}}", given.pop(name))
        status, body = await asked(operator, operation.method.lower(), path, given)
        assert status == wanted, (verb, arguments, body)
        answer = described["paths"][operation.path][operation.method.lower()]["responses"][str(status)]
        schema = {**answer["content"]["application/json"]["schema"], "components": described["components"]}
        Draft202012Validator(schema).validate(body)


async def test_an_order_that_is_no_json_is_refused(operator: Operator) -> None:
    """A form in somebody's browser can send text; it must not remove anything."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://{operator.node.admin}/-/api/remove", data='{"repo": "acme/tiny"}') as answer,
    ):
        assert answer.status == 415
        assert "application/json" in (await answer.json())["error"]
