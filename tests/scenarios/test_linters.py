"""What httplint and REDbot complain of in our answers: those of the Hub's mirror, and those of a generic origin."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.hub.server import SyntheticHub
from bench.hub.world import World
from tests.kit.linting import Exchange, Finding, exchanged, findings
from tests.kit.webnode import WebNode, web_node
from tests.kit.weborigin import Asked, Document, Reply, WebSite, Wire

MIB = 1024 * 1024
TEXT = b"A line of forty characters for a linter\n" * 500
PLAIN = {"Content-Type": "text/plain; charset=utf-8"}
LONG_AGO = "Mon, 06 Nov 2023 08:49:37 GMT"
FRESH = {"Cache-Control": "max-age=600", "Last-Modified": LONG_AGO, "Accept-Ranges": "bytes"}
REFUSED = {"STATUS_BAD_REQUEST": "it says that the status is 400, which it is meant to be"}
SEVERAL = {"PARTIAL_WITHOUT_RANGE": "RFC 9110 §15.3.7.2: a 206 with several parts must not have a Content-Range"}
REPO = "acme/tiny"


@dataclass(frozen=True, slots=True)
class Row:
    """One request, in the order of its table. `told` is in the head of the answer, in letters of any case. A complaint
    is a failure unless it is `known`, with the reason; so is one that is known and not made."""

    name: str
    status: int
    target: str
    told: str = ""
    method: str = "GET"
    fields: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, str] = field(default_factory=dict)


GENERIC = (
    Row("miss", 200, "/o/data/text", "fwd=uri-miss"),
    Row("hit", 200, "/o/data/text", "penstock; hit"),
    Row("hit in memory", 200, "/o/data/text", "penstock; hit"),
    Row("head", 200, "/o/data/text", "penstock; hit", "HEAD"),
    Row("part", 206, "/o/data/text", "bytes 10-99/20000", fields={"Range": "bytes=10-99"}),
    Row("parts", 206, "/o/data/text", "multipart", fields={"Range": "bytes=0-9,200-299"}, known=SEVERAL),
    Row("not modified", 304, "/o/data/text", fields={"If-None-Match": '"v1"'}),
    Row("not modified since", 304, "/o/data/text", fields={"If-Modified-Since": LONG_AGO}),
    Row("not the one", 412, "/o/data/text", fields={"If-Match": '"v0"'}),
    Row("beyond the end", 416, "/o/data/text", "bytes */20000", fields={"Range": "bytes=20000-"}),
    Row("long, miss", 200, "/o/data/long", "fwd=uri-miss"),
    Row("long, hit", 200, "/o/data/long", "penstock; hit"),
    Row("long, part", 206, "/o/data/long", "penstock; hit", fields={"Range": "bytes=-70000"}),
    Row("chunked, miss", 200, "/o/data/chunked", "fwd=uri-miss"),
    Row("chunked, hit", 200, "/o/data/chunked", "penstock; hit"),
    Row("encoded", 200, "/o/data/encoded", "gzip", fields={"Accept-Encoding": "gzip"}),
    Row("not kept", 200, "/o/data/not-kept", "fwd="),
    Row("moved, miss", 301, "/o/data/moved", "/o/data/text"),
    Row("moved, hit", 301, "/o/data/moved", "penstock; hit"),
    Row("elsewhere for now", 307, "/o/data/elsewhere", "/o/data/text"),
    Row("not there", 404, "/o/data/none", "fwd="),
    Row("written", 200, "/o/data/text", method="POST", fields={"Content-Length": "0"}),
    Row("busy", 429, "/o/data/busy", "Retry-After: 5"),
    Row("soon stale", 200, "/o/data/stale", "stored"),
    Row("stale, the origin fails", 200, "/o/data/stale", "fwd=stale"),
    Row("stale, confirmed behind it", 200, "/o/data/behind", "stored"),
    Row("stale while revalidated", 200, "/o/data/behind", "penstock; hit"),
    Row("the origin cuts", 502, "/o/data/cut"),
    Row("not kept, not to be asked", 504, "/o/data/new", fields={"Cache-Control": "only-if-cached"}),
    Row("no such origin", 404, "/o/none/text"),
    Row("a path of two meanings", 400, "/o/data/a/../b", known=REFUSED),
    Row("a method of no origin", 405, "/o/data/text", "Allow:", "TRACE"),
    Row("alive", 200, "/-/livez"),
    Row("ready", 200, "/-/readyz"),
    Row("health, written", 405, "/-/livez", "Allow: GET, HEAD", "POST", {"Content-Length": "0"}),
)


def of_the_hub(commit: str, tag: str) -> tuple[Row, ...]:
    """`commit` is what main is, `tag` the ETag of the large file."""
    small, large = (f"/{REPO}/resolve/{commit}/{name}" for name in ("config.json", "model.safetensors"))
    return (
        Row("main", 307, f"/{REPO}/resolve/main/config.json", commit),
        Row("small, miss", 200, small, "fwd="),
        Row("small, hit", 200, small, "penstock; hit"),
        Row("small, hit in memory", 200, small, "penstock; hit"),
        Row("head", 200, small, method="HEAD"),
        Row("large, miss", 200, large, "fwd="),
        Row("large, hit", 200, large, "penstock; hit"),
        Row("large, head", 200, large, method="HEAD"),
        Row("part", 206, large, "bytes 10-99/", fields={"Range": "bytes=10-99"}),
        Row("parts", 206, large, "multipart", fields={"Range": "bytes=0-9,200-299"}, known=SEVERAL),
        Row("not modified", 304, large, fields={"If-None-Match": tag}),
        Row("not the one", 412, large, fields={"If-Match": '"v0"'}),
        Row("beyond the end", 416, large, "bytes */", fields={"Range": "bytes=99999999-"}),
        Row("no such file", 404, f"/{REPO}/resolve/{commit}/none.json", "EntryNotFound"),
        Row("no such repo, or not for you", 401, "/acme/none/resolve/main/config.json"),
        Row("model", 200, f"/api/models/{REPO}"),
        Row("model, again", 200, f"/api/models/{REPO}", "penstock; hit"),
        Row("tree", 200, f"/api/models/{REPO}/tree/{commit}"),
        Row("no such model, or not for you", 401, "/api/models/acme/none"),
        Row("a path of two meanings", 400, f"/{REPO}/resolve/main/../config.json", known=REFUSED),
        Row("a write", 405, small, "Allow: ", "DELETE"),
        Row("alive", 200, "/-/livez"),
    )


def without_the_hub(commit: str) -> tuple[Row, ...]:
    return (
        Row("large, hit", 200, f"/{REPO}/resolve/{commit}/model.safetensors", "penstock; hit"),
        Row("a file of which nothing is known", 429, "/acme/other/resolve/main/config.json", "Retry-After"),
        Row("a model of which nothing is known", 502, "/api/models/acme/other", "Retry-After"),
    )


async def test_httplint_has_no_complaint_of_what_a_generic_origin_is_served_as(tmp_path: Path) -> None:
    async with WebSite.open() as site, before(tmp_path, site) as node:
        assert await complaints(node, GENERIC) == known(GENERIC)
        assert from_memory(node) > 0


async def test_httplint_has_no_complaint_of_what_the_hub_is_served_as(tmp_path: Path) -> None:
    world = World()
    commit = filled(world)
    async with SyntheticHub.open(world) as hub, web_node(tmp_path, hub.url, **AS_HUB) as node:
        head = await node.get(f"/{REPO}/resolve/{commit}/model.safetensors", "HEAD")
        rows = of_the_hub(commit, head.headers["ETag"])
        assert await complaints(node, rows) == known(rows)
        assert from_memory(node) > 0
        await hub.off()
        away = without_the_hub(commit)
        assert await complaints(node, away) == known(away)


async def test_redbot_finds_that_parts_and_validators_work_and_nothing_to_complain_of(tmp_path: Path) -> None:
    world = World()
    commit = filled(world)
    async with (
        WebSite.open() as site,
        SyntheticHub.open(world) as hub,
        before(tmp_path / "generic", site) as generic,
        web_node(tmp_path / "hub", hub.url, **AS_HUB) as mirror,
    ):
        whole = ("if-none-match", "part")
        seen = {
            f"{generic.url}/o/data/text": ("if-modified-since", *whole),
            f"{generic.url}/o/data/long": ("if-modified-since", *whole),
            f"{generic.url}/o/data/encoded": ("gzip", *whole),
            f"{generic.url}/o/data/not-kept": (),
            f"{mirror.url}/{REPO}/resolve/{commit}/config.json": whole,
            f"{mirror.url}/{REPO}/resolve/{commit}/model.safetensors": whole,
        }
        found = (await findings(addresses=list(seen))).addresses
    assert {address: one.supports for address, one in found.items()} == seen
    assert {address for address, one in found.items() if complained(address, one.findings)} == set()


AS_HUB = {"origin__kind": "hub", "origin__allow_private": True}


def filled(world: World) -> str:
    """A repo with a file of either kind; the commit."""
    repo = world.add_model(REPO)
    repo.put_text("config.json", '{"architectures": ["Tiny"], "what": "' + "long enough for a part of it; " * 20 + '"}')
    repo.put_blob("model.safetensors", 3 * MIB)
    return repo.commit("first")


@asynccontextmanager
async def before(folder: Path, site: WebSite) -> AsyncIterator[WebNode]:
    """A node with `site` at /o/data/, and nothing at the root."""
    site.at("/text", Document(TEXT, {**FRESH, **PLAIN}))
    site.at("/long", Document(bytes(range(256)) * 8192, {**FRESH, "Content-Type": "application/octet-stream"}))
    site.at("/chunked", Document(TEXT, {**FRESH, **PLAIN}, chunked=True))
    site.at("/encoded", encoded)
    site.at("/not-kept", Reply(200, {"Cache-Control": "no-store", **PLAIN}, TEXT))
    site.at("/moved", Reply(301, {"Cache-Control": "max-age=600", "Location": "/text", **PLAIN}, b"there\n"))
    site.at("/elsewhere", Reply(307, {"Cache-Control": "no-store", "Location": "/text", **PLAIN}, b"there\n"))
    site.at("/none", Reply(404, {"Cache-Control": "no-store", **PLAIN}, b"not here\n"))
    site.at("/busy", Reply(429, {"Retry-After": "5", **PLAIN}, b"later\n"))
    site.at("/stale", failing)
    site.at("/behind", Reply(200, {"Cache-Control": "max-age=0, stale-while-revalidate=600", **PLAIN}, TEXT))
    site.at("/cut", cut)
    async with WebSite.open() as root, web_node(folder, root.url, origin__data__url=site.url) as node:
        yield node


async def encoded(asked: Asked, wire: Wire) -> None:
    """With gzip for who takes it."""
    coded = "gzip" in (asked["Accept-Encoding"] or "")
    fields = {**PLAIN, "Cache-Control": "max-age=600", "Vary": "Accept-Encoding", "ETag": '"g"' if coded else '"t"'}
    if coded:
        await Reply(200, {**fields, "Content-Encoding": "gzip"}, gzip.compress(TEXT, mtime=0))(asked, wire)
    else:
        await Reply(200, fields, TEXT)(asked, wire)


async def failing(asked: Asked, wire: Wire) -> None:
    """The first time well, then never."""
    if asked.number == 0:
        await Reply(200, {"Cache-Control": "max-age=0, stale-if-error=600", **PLAIN}, TEXT)(asked, wire)
    else:
        await Reply(500, PLAIN, b"failed\n")(asked, wire)


async def cut(_: Asked, wire: Wire) -> None:
    wire.cut()


async def complaints(node: WebNode, rows: Sequence[Row]) -> dict[str, set[str]]:
    """Of each row's answer, in the order of the table. Raises AssertionError for one that is not what the row says."""
    exchanges: list[Exchange] = []
    for row in rows:
        one = await exchanged(node.address, row.name, row.target, row.method, row.fields)
        assert (one.status, row.told.lower() in one.head.lower()) == (row.status, True), f"{row}:\n{one.head}"
        exchanges.append(one)
    found = (await findings(exchanges)).exchanges
    assert found.keys() == {row.name for row in rows}
    return {name: complained(name, notes) for name, notes in found.items()}


def from_memory(node: WebNode) -> float:
    """Bytes of answers that were in memory."""
    lane = node.inside.gate.lane
    assert lane is not None
    lane.flush()
    return node.page.total("response_bytes_total", source="memory")


def complained(of: str, notes: Iterable[Finding]) -> set[str]:
    """The names of the complaints; all of them goes to whoever reads why a test failed."""
    complaints = [one for one in notes if one.is_complaint]
    for one in complaints:
        print(f"{of}: {one}")
    return {one.note for one in complaints}


def known(rows: Sequence[Row]) -> dict[str, set[str]]:
    return {row.name: set(row.known) for row in rows}
