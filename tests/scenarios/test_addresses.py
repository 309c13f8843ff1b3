"""Addresses that the mirror gives out, for a while, and addresses that it is given, and does not follow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.message import Message
from email.parser import BytesParser
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from bench.hub.content import MIB
from bench.hub.faults import RedirectTo, SetHeaders
from bench.hub.repo import Repo
from proxy.access.signatures import Signatures
from proxy.core.caller import ANONYMOUS
from proxy.core.clock import ManualClock
from proxy.front.tickets import Tickets
from proxy.hub.names import Counter, ObjectTarget, RepoId, RepoKind
from tests.kit.asking import Answer, ask
from tests.kit.files import all_files, digest, expected
from tests.kit.git import Git
from tests.kit.node import Node
from tests.kit.stage import Stage

LARGE = "model.safetensors"
LFS = "application/vnd.git-lfs+json"


def furnished(stage: Stage, repo_id: str = "acme/tiny", **traits: bool) -> Repo:
    repo = stage.world.add_model(repo_id, **traits)
    repo.put_text(".gitattributes", "*.safetensors filter=lfs diff=lfs merge=lfs -text\n")
    repo.put_text("config.json", "{}\n")
    repo.put_blob(LARGE, 3 * MIB + 5)
    repo.commit("Upload")
    repo.grant("alice")
    return repo


# --- what runs out ------------------------------------------------------------------------------------------------


def run_out(node: Node, repo: Repo) -> str:
    """The address of the large file as git-lfs was given it an hour ago: by the node's own secret, in other words."""
    clock, file = ManualClock(now=1_700_000_000.0), expected(repo, LARGE)
    tickets = Tickets(Signatures.open(node.plan.state, clock=clock), clock, b"key")
    place = ObjectTarget(RepoId(RepoKind.MODEL, repo.id), file.sha256, Counter.LFS)
    return f"/__lfs/{file.sha256}?t={tickets.seal(place, file.size, ANONYMOUS, everybody=True).reveal()}"


async def batch(node: Node, repo: Repo) -> Answer:
    objects = [{"oid": file.sha256, "size": file.size} for file in all_files(repo) if file.linked]
    body = json.dumps({"operation": "download", "objects": objects}).encode()
    fields = {"Accept": LFS, "Content-Type": LFS}
    return await ask(node.url, "POST", f"/{repo.id}.git/info/lfs/objects/batch", fields, body)


async def test_an_lfs_address_that_has_run_out_is_refused_and_a_new_batch_gives_another(stage: Stage) -> None:
    repo = furnished(stage)
    file = expected(repo, LARGE)
    node = await stage.node(workers=2)
    stage.wants(file)
    for method in ("GET", "HEAD"):
        refused = await stage.ask(node, run_out(node, repo), method=method)
        assert refused.status == 403, refused.transcript
    ((one,)) = (await batch(node, repo)).json["objects"]
    fresh = await stage.ask(node, one["actions"]["download"]["href"].removeprefix(node.url))
    assert (fresh.status, digest(fresh.body)) == (200, file.sha256)


async def test_git_lfs_recovers_from_an_address_that_has_run_out(stage: Stage) -> None:
    """The first batch's answer was kept for too long on its way: git-lfs is refused, asks again, and has the file."""
    repo = furnished(stage)
    node = await stage.node()
    stale: list[str] = []

    def aged(target: str, body: bytes) -> bytes:
        if not target.endswith("/batch") or stale:
            return body
        told = json.loads(body)
        for one in told["objects"]:
            download = one["actions"]["download"]
            host = str(URL(download["href"]).origin())
            download["href"] = host + run_out(node, repo)
            stale.append(download["href"])
        return json.dumps(told).encode()

    stage.others_ask()
    home = stage.folder / "git"
    home.mkdir()
    async with between(node, aged) as front:
        await Git(home).good("clone", f"{front}/{repo.id}", "clone")
    file = expected(repo, LARGE)
    assert digest((home / "clone" / LARGE).read_bytes()) == file.sha256
    stage.wants(file)
    assert len(stale) == 1
    asked = [record["status"] for record in node.access_records() if record["route"] == "lfs"]
    assert 403 in asked, asked


@asynccontextmanager
async def between(node: Node, changed: Callable[[str, bytes], bytes]) -> AsyncIterator[str]:
    """Somebody between clients and the node, who changes bodies of answers; yields where to ask."""

    async def passed_on(request: web.BaseRequest) -> web.Response:
        fields = {name: text for name, text in request.headers.items() if name.lower() != "transfer-encoding"}
        address = URL(node.url + request.raw_path, encoded=True)
        sent = await request.read() if request.can_read_body else None
        async with session.request(request.method, address, headers=fields, data=sent, allow_redirects=False) as answer:
            body = changed(request.path, await answer.read())
            kept = {
                name: text
                for name, text in answer.headers.items()
                if name.lower() not in ("content-length", "transfer-encoding")
            }
            return web.Response(status=answer.status, headers=kept, body=body)

    async with aiohttp.ClientSession(auto_decompress=False) as session:
        server = await asyncio.get_running_loop().create_server(web.Server(passed_on), "127.0.0.1", 0)
        async with server:
            yield "http://{}:{}".format(*server.sockets[0].getsockname())


# --- several ranges of a xorb -------------------------------------------------------------------------------------


async def test_several_ranges_of_a_xorb_come_in_parts(stage: Stage) -> None:
    """HUB-PROTOCOL §4.1: as huggingface.js asks, and hf_xet where it is told to; cold, and across its headers."""
    repo = furnished(stage)
    file = expected(repo, LARGE)
    stage.wants(file)
    node = await stage.node(workers=2)
    token = (await stage.ask(node, f"/api/models/{repo.id}/xet-read-token/main")).json["accessToken"]
    xet_hash = repo.commits[repo.head()].files[LARGE].xet_hash  # type: ignore[union-attr]
    told = await stage.ask(node, f"/__xet/v2/reconstructions/{xet_hash}", token=token)
    ((place,),) = told.json["xorbs"].values()
    address = place["url"].removeprefix(node.url)
    spans = [(0, 15), (131_070, 131_100), (2 * MIB, 2 * MIB + 999)]
    several = await stage.ask(node, address, Range="bytes=" + ",".join(f"{start}-{stop}" for start, stop in spans))
    assert several.status == 206, several.headers
    parts = parts_of(several)
    assert len(parts) == len(spans)
    size = file.size + 8 * -(-file.size // 131_072)
    for (start, stop), part in zip(spans, parts, strict=True):
        single = await stage.ask(node, address, Range=f"bytes={start}-{stop}")
        assert part["Content-Range"] == single.headers["Content-Range"] == f"bytes {start}-{stop}/{size}"
        assert part.get_payload(decode=True) == single.body
    assert parts[2].get_payload(decode=True) == xorb(file.blob.read(0, file.size))[2 * MIB : 2 * MIB + 1000]


def parts_of(answer: Answer) -> list[Message]:
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    return BytesParser().parsebytes(head + answer.body).get_payload()  # type: ignore[return-value]


def xorb(content: bytes) -> bytes:
    """Pieces of 128 KiB, each behind its header: version 0, length, no compression, length."""
    pieces = (content[start : start + 131_072] for start in range(0, len(content), 131_072))
    told = ((len(piece).to_bytes(3, "little"), piece) for piece in pieces)
    return b"".join(b"\0" + length + b"\0" + length + piece for length, piece in told)


# --- the mirror's own name ----------------------------------------------------------------------------------------


async def test_every_address_given_out_bears_the_external_name(stage: Stage) -> None:
    """Behind a balancer: pages, LFS objects, Xet; whatever the Host field says."""
    repo = furnished(stage)
    for number in range(1100):
        repo.put_text(f"part-{number:04}.txt", b"%d" % number)
    repo.commit("More")
    name = "https://mirror.example:8443"
    node = await stage.node(workers=2, server__external_url=name, xet__advertise_above=0)
    page = await stage.ask(node, f"/api/models/{repo.id}/tree/main?recursive=true")
    link = page.headers["Link"]
    assert link.startswith(f"<{name}/api/models/{repo.id}/tree/{repo.head()}?")
    assert link.endswith('>; rel="next"')
    rest = await stage.ask(node, link[1 : link.index(">")].removeprefix(name))
    paths = [one["path"] for one in page.json + rest.json]
    assert sorted(paths) == sorted(repo.commits[repo.head()].files)
    assert "Link" not in rest.headers
    ((one,)) = (await batch(node, repo)).json["objects"]
    assert one["actions"]["download"]["href"].startswith(f"{name}/__lfs/")
    minted = await stage.ask(node, f"/api/models/{repo.id}/xet-read-token/main")
    assert minted.json["casUrl"] == minted.headers["X-Xet-Cas-Url"] == f"{name}/__xet"
    head = await stage.ask(node, f"/{repo.id}/resolve/{repo.head()}/{LARGE}", method="HEAD")
    assert all(part.startswith(f"<{name}/") for part in head.headers["Link"].split(", "))
    moved = await stage.ask(node, f"/{repo.id}/resolve/main/config.json", method="HEAD")
    assert moved.headers["Location"] == f"/{repo.id}/resolve/{repo.head()}/config.json", "this one stays relative"


# --- where the origin would send us -------------------------------------------------------------------------------

ASKED: dict[str, Callable[[Repo], tuple[str, str]]] = {
    "resolve": lambda repo: ("GET", f"/{repo.id}/resolve/{repo.head()}/{LARGE}"),
    "api": lambda repo: ("GET", f"/api/models/{repo.id}/tree/main"),
    "git-refs": lambda repo: ("GET", f"/{repo.id}/info/refs?service=git-upload-pack"),
    "oci-manifest": lambda repo: ("GET", f"/v2/{repo.id}/manifests/latest"),
}


@pytest.mark.parametrize("private", [False, True], ids=["public", "private"])
async def test_a_redirect_to_a_host_that_is_not_listed_is_not_followed(stage: Stage, *, private: bool) -> None:
    """Neither the mirror nor its client goes there, and no token; afterwards everything is as before."""
    alice = stage.user("alice")
    repo = furnished(stage, private=private)
    node = await stage.node(workers=2, origin__retries=0)
    async with trap() as (evil, visitors):
        for kind, door in ASKED.items():
            method, target = door(repo)
            bends: list[Any] = [RedirectTo(f"{evil}{{path}}"), RedirectTo(f"{evil}{{path}}", 307)]
            if kind == "resolve":
                bends.append(SetHeaders({"location": f"{evil}/file"}))  # all else about the file is right
            for bend in bends:
                fault = stage.faults.add(bend, kinds=(kind,))
                try:
                    answer = await stage.ask(node, target, method=method, token=alice)
                    assert answer.status in (404, 429, 502), (kind, bend, answer.transcript)
                    assert evil not in str(answer.headers).lower()
                except aiohttp.ClientPayloadError:
                    assert kind == "resolve", "a body that has begun is cut"
                stage.faults.remove(fault)
        assert visitors == []
        file = expected(repo, LARGE)
        whole = await stage.read(node, file, token=alice)
        assert whole.complete, whole


@asynccontextmanager
async def trap() -> AsyncIterator[tuple[str, list[str]]]:
    """A host on nobody's list, and who came to it."""
    visitors: list[str] = []

    async def opened(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visitors.append((await reader.readline()).decode())
        writer.close()

    server = await asyncio.start_server(opened, "127.0.0.1", 0)
    async with server:
        yield f"http://localhost:{server.sockets[0].getsockname()[1]}", visitors
