"""`penstock doctor` before a mirror of another make, and on a machine with a dead disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from proxy.config.load import load
from proxy.core.clock import SystemClock
from proxy.service.checkup import examined
from proxy.service.doctor import examine
from proxy.service.finding import Verdict
from proxy.service.preflight import hints, obstacles

SHA = "a" * 40
API = "/api/models/acme/tiny"
FILE = {"type": "file", "path": "c", "size": 3, "lfs": {"oid": "0" * 64}}
ODD = [7, {"type": "file"}, {"type": "file", "path": "a", "size": "big"}, {**FILE, "lfs": "x"}, {**FILE, "path": None}]


async def walked(answers: dict[str, Any], location: str = "/elsewhere") -> list[str]:
    """The troubles in a walk through a mirror that gives these answers, and redirects from every file."""

    async def answer(request: web.Request) -> web.Response:
        if "/resolve/" in request.path:
            return web.Response(status=302, headers={"Location": location})
        return web.json_response(answers.get(request.path.removeprefix(API), {}))

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(application) as server:
        found = await examine(str(server.make_url("/")), "acme/tiny", None)
    return found.troubles


@pytest.mark.parametrize("described", [["a", "list"], "text", {"sha": 7}, None])
async def test_a_revision_that_is_none_is_a_trouble(described: object) -> None:
    assert await walked({"/revision/main": described}) == [f"{API}/revision/main names no commit"]


@pytest.mark.parametrize("refs", [{"tags": ["v1", {"name": 3}], "pullRequests": 7}, [], {"tags": None}])
async def test_entries_that_are_none_are_passed_over(refs: object) -> None:
    tree = [*ODD, FILE]
    answers = {"/revision/main": {"sha": SHA}, f"/tree/{SHA}": tree, "/tree/main": {}, "/refs": refs}
    assert await walked(answers) == []


@pytest.mark.parametrize("location", ["http://[bad", "http://mirror:808080/x", "mailto:a@example.org", "//"])
async def test_a_redirect_to_what_is_no_address_is_not_followed(location: str) -> None:
    await walked({"/revision/main": {"sha": SHA}, f"/tree/{SHA}": [FILE]}, location)


async def test_a_dead_disk_is_told_of_and_the_others_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead, good = tmp_path / "dead", tmp_path / "good"
    for folder in (dead, good):
        folder.mkdir()
    statvfs = os.statvfs

    def failing(path: Any) -> os.statvfs_result:
        if str(path).startswith(str(dead)):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return statvfs(path)

    monkeypatch.setattr(os, "statvfs", failing)
    flags = {"store.disks": ("--disk", (str(dead), str(good))), "origin.url": ("--origin", "http://127.0.0.1:9")}
    config = load(environment={}, flags=flags).config
    found = [one async for one in examined(config, SystemClock(), serving=True) if "disk" in one.about]
    assert found[0].about == f"disk {dead}"
    assert (found[0].verdict, found[0].says) == (Verdict.BAD, "it cannot be looked at: Input/output error")
    assert f"disk {good}" in [one.about for one in found]
    assert any("cannot be looked at" in text for text in hints(config)), "and a node goes on without it"
    assert obstacles(config) == []
