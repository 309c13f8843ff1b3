"""`[[origin]]`: generic origins at /o/NAME/, beside the Hub or another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.hub.server import SyntheticHub
from bench.hub.world import World
from proxy.front.mounts import moved
from tests.kit.asking import ask
from tests.kit.command import penstock
from tests.kit.conformance import penstock_before
from tests.kit.scrape import Page, access_records
from tests.kit.waiting import until
from tests.kit.webnode import WebNode, web_node
from tests.kit.weborigin import Document, Reply, WebSite

MIB = 1024 * 1024
FRESH = {"Cache-Control": "max-age=600"}
HUB_FILE = "/acme/tiny/resolve/main/config.json"


@dataclass(frozen=True)
class Standing:
    """A node before a Hub, with the two sites at /o/a/ and /o/b-2/ (below its path /base)."""

    node: WebNode
    hub: SyntheticHub
    a: WebSite
    b: WebSite


@asynccontextmanager
async def sites() -> AsyncIterator[tuple[SyntheticHub, WebSite, WebSite]]:
    world = World()
    repo = world.add_model("acme/tiny")
    repo.put_text("config.json", '{"of": "the hub"}')
    repo.commit("first")
    async with SyntheticHub.open(world) as hub, WebSite.open() as a, WebSite.open() as b:
        yield hub, a, b


@pytest.fixture
async def standing(tmp_path: Path) -> AsyncIterator[Standing]:
    async with (
        sites() as (hub, a, b),
        web_node(
            tmp_path,
            hub.url,
            origin__kind="hub",
            origin__allow_private=True,
            origin__a__url=a.url,
            **{"origin__b-2__url": f"{b.url}/base"},
        ) as node,
    ):
        yield Standing(node, hub, a, b)


async def test_two_mounts_and_the_hub_are_served_by_one_node(standing: Standing) -> None:
    standing.a.at("/x", Reply(200, FRESH, b"of a"))
    standing.b.at("/base/x", Reply(200, FRESH, b"of b"))
    moved_on = await standing.node.get(HUB_FILE)
    assert moved_on.status == 307
    for _ in range(2):
        assert (await standing.node.get("/o/a/x")).body == b"of a"
        assert (await standing.node.get("/o/b-2/x")).body == b"of b"
        assert (await standing.node.get(moved_on.headers["Location"])).body == b'{"of": "the hub"}'
    assert [one.target for one in standing.a.asked] == ["/x"]
    assert [one.target for one in standing.b.asked] == ["/base/x"]
    assert "; hit" in (await standing.node.get("/o/a/x")).headers["Cache-Status"]


async def test_one_path_and_one_validator_at_two_origins_are_never_mixed(standing: Standing) -> None:
    """Long bodies are blobs known by place, validator and length: these agree in all but the origin."""
    first, second = bytes(3 * MIB), b"\x01" * (3 * MIB)
    standing.a.at("/base/x", Document(first))
    standing.b.at("/base/x", Document(second))
    for _ in range(2):
        assert (await standing.node.get("/o/b-2/x")).body == second
        assert (await standing.node.get("/o/a/base/x")).body == first
    part = await standing.node.get("/o/a/base/x", range=f"bytes={2 * MIB}-{2 * MIB + 9}")
    assert (part.status, part.body) == (206, bytes(10))
    assert standing.a.sent == standing.b.sent == 3 * MIB


@pytest.mark.parametrize(
    "target", ["/o/none/x", "/o/a", "/o/A/x", "/o//x", "/o/", "/o/a%2Fx", "/o/%61/x", "/o/b/x", "/o/a?x=/", "/o/?a/x"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_name_that_is_not_mounted_is_not_found(standing: Standing, target: str, method: str) -> None:
    answer = await standing.node.get(target, method, b"x" if method == "POST" else None)
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert "/o/NAME/" in answer.json["detail"]
    assert standing.a.asked == standing.b.asked == []


async def test_a_target_does_not_climb_into_another_mount(standing: Standing) -> None:
    for target in ("/o/a/../b-2/x", "/o/a/%2e%2e/b-2/x", "/o/a%2f..%2fb-2/x"):
        assert (await standing.node.get(target)).status == 400
    assert standing.a.asked == standing.b.asked == []


async def test_mounts_stand_beside_a_generic_origin_at_the_root(tmp_path: Path) -> None:
    async with (
        WebSite.open() as root,
        WebSite.open() as a,
        web_node(tmp_path, root.url, origin__a__url=a.url) as node,
    ):
        root.at("/x", Reply(200, FRESH, b"of the root"))
        a.at("/x", Reply(200, FRESH, b"of a"))
        assert (await node.get("/x")).body == b"of the root"
        assert (await node.get("/o/a/x")).body == b"of a"
        assert (await node.get("/o/b/x")).status == 404
        assert [one.target for one in root.asked] == ["/x"]


async def test_without_a_mount_the_root_has_all_targets(tmp_path: Path) -> None:
    async with WebSite.open() as root, web_node(tmp_path, root.url) as node:
        root.at("/o/a/x", Reply(200, FRESH, b"of the root"))
        assert (await node.get("/o/a/x")).body == b"of the root"


async def test_a_write_passes_and_makes_void_at_its_own_mount_alone(standing: Standing) -> None:
    standing.a.at("/x", Reply(200, FRESH, b"of a"))
    standing.b.at("/base/x", Reply(200, FRESH, b"of b"))
    for target in ("/o/a/x", "/o/b-2/x"):
        await standing.node.get(target)
    await standing.node.get("/o/a/x", "PUT", b"new")
    for target in ("/o/a/x", "/o/b-2/x"):
        await standing.node.get(target)
    assert [one.method for one in standing.a.asked] == ["GET", "PUT", "GET"]
    assert [one.method for one in standing.b.asked] == ["GET"]


@pytest.mark.parametrize(
    ("which", "gone"),
    [
        ({"target": "/o/a/x"}, ["a"]),
        ({"target": "http://mirror.example/o/b-2/x"}, ["b"]),
        ({"prefix": "/o/a/"}, ["a"]),
        ({"tag": "red"}, ["a", "b"]),
    ],
)
async def test_purges_are_by_the_whole_target(standing: Standing, which: dict[str, str], gone: list[str]) -> None:
    asked = {"a": standing.a, "b": standing.b}
    standing.a.at("/x", Reply(200, {**FRESH, "Surrogate-Key": "red"}))
    standing.b.at("/base/x", Reply(200, {**FRESH, "Surrogate-Key": "red"}))
    for target in ("/o/a/x", "/o/b-2/x"):
        await standing.node.get(target)
    assert await standing.node.operate("void", **which) == {"responses": len(gone), "soft": False, "dry_run": False}
    for target in ("/o/a/x", "/o/b-2/x"):
        await standing.node.get(target)
    assert [name for name, site in asked.items() if len(site.asked) == 2] == gone


async def test_explain_knows_the_mount(standing: Standing) -> None:
    standing.b.at("/base/x", Reply(200, FRESH))
    await standing.node.get("/o/b-2/x?y=1")
    told = await standing.node.operate("explain", target="/o/b-2/x?y=1")
    assert (told["origin"], told["target"], told["decision"]) == (f"{standing.b.url}/base", "/x?y=1", "serve")
    for target in ("/o/none/x", "/acme/tiny/resolve/main/config.json"):
        assert (await standing.node.inside.operate("explain", {"target": target})).status == 404
        assert (await standing.node.inside.operate("void", {"target": target})).status == 404


MOVED: list[tuple[str, str, str]] = [
    ("relative", "b?c#d", "b?c#d"),
    ("climbing", "../b", "../b"),
    ("only a query", "?b", "?b"),
    ("empty", "", ""),
    ("below the base", "/base/b?c", "/o/n/b?c"),
    ("the base", "/base", "/o/n/"),
    ("the base, and a query", "/base?c", "/o/n/?c"),
    ("beside the base", "/baseb", "http://site:81/baseb"),
    ("outside the base", "/login?c=/base/", "http://site:81/login?c=/base/"),
    ("whole", "http://site:81/base/b", "/o/n/b"),
    ("whole, other letters", "HTTP://Site:81/base/b", "/o/n/b"),
    ("whole, outside", "http://site:81/b", "http://site:81/b"),
    ("whole, no path", "http://site:81", "http://site:81"),
    ("whole, with a login", "http://u:p@site:81/base/b", "/o/n/b"),
    ("without a scheme", "//site:81/base/b", "/o/n/b"),
    ("another port", "http://site/base/b", "http://site/base/b"),
    ("another scheme", "https://site:81/base/b", "https://site:81/base/b"),
    ("another site", "http://else/base/b", "http://else/base/b"),
    ("another site, without a scheme", "//else/base/b", "http://else/base/b"),
    ("no site", "mailto:me", "mailto:me"),
    ("a bad port", "http://site:x/b", "http://site:x/b"),
    ("no address", "http://[/b", "http://[/b"),
]


@pytest.mark.parametrize(("said", "seen"), [row[1:] for row in MOVED], ids=[row[0] for row in MOVED])
def test_9110_10_2_2_an_address_is_what_it_is_at_the_mount(said: str, seen: str) -> None:
    assert moved(said, "http://site:81/base", "/o/n") == seen


def test_a_port_left_out_is_the_schemes() -> None:
    assert moved("http://site:80/b", "http://site", "/o/n") == "/o/n/b"
    assert moved("https://site/b", "https://site:443", "/o/n") == "/o/n/b"


async def test_redirects_of_a_mount_stay_in_it_kept_or_not(standing: Standing) -> None:
    to = {"Location": f"{standing.b.url}/base/x", "Content-Location": "/base/y"}
    standing.b.at("/base/kept", Reply(301, {**FRESH, **to}))
    standing.b.at("/base/passed", Reply(302, {"Cache-Control": "no-store", **to}))
    standing.b.at("/base/made", Reply(201, to))
    standing.b.at("/base/long", Document(bytes(2 * MIB), {**FRESH, **to}))
    for target, method in (("kept", "GET"), ("kept", "GET"), ("kept", "HEAD"), ("passed", "GET"), ("made", "POST")):
        answer = await standing.node.get(f"/o/b-2/{target}", method)
        assert (answer.headers["Location"], answer.headers["Content-Location"]) == ("/o/b-2/x", "/o/b-2/y")
    for _ in range(2):
        assert (await standing.node.get("/o/b-2/long", range="bytes=5-9")).headers["Location"] == "/o/b-2/x"


async def test_at_the_root_an_address_is_as_the_origin_says(tmp_path: Path) -> None:
    async with WebSite.open() as root, web_node(tmp_path, root.url) as node:
        root.at("/x", Reply(301, {**FRESH, "Location": f"{root.url}/y"}))
        assert (await node.get("/x")).headers["Location"] == f"{root.url}/y"


async def test_a_file_with_mounts_is_all_a_node_needs(tmp_path: Path) -> None:
    """Processes of their own: the command, its accounts, and what an operator asks it."""
    log = tmp_path / "access.log"
    async with WebSite.open() as root, WebSite.open() as a:
        file = tmp_path / "penstock.toml"
        file.write_text(
            f'[server]\nworkers = 2\n[log]\naccess = "{log}"\n[[origin]]\nname = "a"\nurl = "{a.url}"\nretries = 1\n'
        )
        a.at("/x", Reply(200, FRESH, b"of a"))
        a.at("/away", Reply(302, {"Location": "https://elsewhere.example/"}))
        assert "the configuration is right" in (await penstock("check", "--config", str(file))).said
        shown = (await penstock("config", "show", "--origin", "--config", str(file))).stdout
        assert [line.split() for line in shown.splitlines() if "origin.a.retries" in line] == [
            ["origin.a.retries", "1", "file", f"{file}:8"]
        ]
        async with penstock_before(root.url, tmp_path, "--config", str(file)) as node:
            for _ in range(3):
                assert (await ask(node.url, "GET", "/o/a/x?y=1", {})).body == b"of a"
            assert (await ask(node.url, "GET", "/o/b/x", {})).status == 404
            assert (await ask(node.url, "GET", "/o/a/away", {})).headers["Location"] == "https://elsewhere.example/"
            await until(lambda: len(access_records(log)) == 5, "the access log has them")
            said = [(one["path"], one["route"], one["status"]) for one in access_records(log)]
            assert sorted(said) == [
                ("/o/a/away", "web", 302),
                *[("/o/a/x", "web", 200)] * 3,
                ("/o/b/x", "web", 404),
            ]
            page = Page.parse((await ask(f"http://{node.admin}", "GET", "/metrics", {})).body.decode())
            assert page.total("http_requests_total", route="web") == 5
            assert page.total("leaks_total") == 0  # where an origin sends its clients is its own affair
            assert page.total("upstream_requests_total", host="web") == len(a.asked) == 2
            told = await penstock("explain", f"{node.url}/o/a/x?y=1", "--admin", node.admin)
            assert "serve: fresh" in told.said
            assert f"asked of {a.url} as /x?y=1" in told.said
            assert "1 responses dropped" in (await penstock("purge", "--prefix", "/o/a/", "--admin", node.admin)).said
