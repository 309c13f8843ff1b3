"""`penstock ls`, `du`, `info`, `stats`, `top`, on a real node."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bench.hub.content import MIB
from tests.kit.command import penstock
from tests.kit.waiting import until

from .verbs import Operator, operated

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Operator]:
    """A node with one repo whole, and one of which a file was read in part."""
    async with operated(tmp_path_factory.mktemp("inventory"), workers=2) as found:
        repo = found.stage.repo("acme/whole")
        repo.put_text("config.json", '{"a": 1}')
        repo.put_blob("model.safetensors", 3 * MIB)
        repo.commit("Add files")
        assert (await found.says("warm", "acme/whole")).returncode == 0
        part = found.stage.blob("acme/part", "model.safetensors", 8 * MIB)
        reading = await found.stage.read(found.node, part, span=(0, MIB))
        assert reading.complete, reading
        yield found


async def test_ls_tells_what_is_here_of_each_repo(operator: Operator) -> None:
    whole, part = sorted(await operator.json("ls"), key=lambda repo: repo["repo"], reverse=True)
    assert (whole["repo"], whole["files"], whole["here"]) == ("acme/whole", 2, 3 * MIB + 8)
    assert part["repo"] == "acme/part"
    assert MIB <= part["here"] < part["bytes"]
    assert [repo["repo"] for repo in await operator.json("ls", "*/part")] == ["acme/part"]
    shown = (await operator.says("ls")).stdout
    assert "acme/whole" in shown
    assert "100%" in shown
    nothing = await operator.says("ls", "nobody/*")
    assert (nothing.returncode, nothing.stdout) == (0, "")


async def test_pages_of_the_inventory_make_the_whole(operator: Operator) -> None:
    _, first = await operator.api("GET", "/-/api/repos?limit=1")
    _, second = await operator.api("GET", f"/-/api/repos?limit=1&after={first['next']}")
    _, last = await operator.api("GET", f"/-/api/repos?limit=1&after={second['next']}")
    assert [page["repos"][0]["repo"] for page in (first, second)] == ["acme/part", "acme/whole"]
    assert last == {"repos": [], "next": None}


async def test_du_adds_up_to_what_the_disks_hold(operator: Operator) -> None:
    async def adds_up() -> bool:
        found = await operator.json("du")
        return bool(sum(disk["stored"] for disk in found["disks"]) == sum(repo["here"] for repo in found["repos"]))

    await until(adds_up, "the disks are looked at every other second")
    assert "acme/whole" in (await operator.says("du", "--most", "1")).stdout


async def test_info_shows_files_and_refs_and_finds_blobs(operator: Operator) -> None:
    found = await operator.json("info", "acme/whole")
    files = {file["path"]: file for file in found["files"]}
    assert files["model.safetensors"]["here"] == files["model.safetensors"]["size"] == 3 * MIB
    assert found["commit"] == operator.stage.world.repo("acme/whole").head()
    assert {ref["revision"] for ref in found["refs"]} == {"main"}
    assert "files" in found["public"]
    by_commit = await operator.json("info", f"acme/whole@{found['commit']}", "--include", "*.json")
    assert [file["path"] for file in by_commit["files"]] == ["config.json"]
    key = files["model.safetensors"]["key"]
    assert (await operator.json("info", key))["here"] == 3 * MIB
    shown = await operator.says("info", "acme/whole")
    assert "model.safetensors" in shown.stdout
    assert "for everybody" in shown.stderr


async def test_what_is_unknown_is_said_to_be(operator: Operator) -> None:
    nothing = await operator.says("info", "acme/nothing")
    assert nothing.returncode == 3
    assert "penstock warm acme/nothing" in nothing.stderr
    assert (await operator.says("info", "acme/whole@v7")).returncode == 3
    assert (await operator.says("info", "sha256:" + "7a" * 32)).returncode == 3
    assert (await operator.says("info", "acme/whole@")).returncode == 2


async def test_stats_say_what_the_metrics_say(operator: Operator) -> None:
    page = await operator.node.metrics()
    found = await operator.json("stats")
    assert found["requests"] == page.total("http_requests_total") > 0
    assert found["delivered"] == page.total("response_bytes_total") >= MIB
    assert found["workers"] == 2
    shown = (await operator.says("stats")).stdout
    assert "from the origin" in shown


async def test_explain_says_what_would_happen_and_why(operator: Operator) -> None:
    whole = operator.stage.file("acme/whole", "model.safetensors")
    found = await operator.json("explain", operator.node.url + whole.target())
    assert (found["asks_origin"], found["verdict"]) == (False, "a hit: served from disk")
    assert [step["name"] for step in found["steps"]] == ["policy", "right", "revision", "file", "plan", "admission"]

    async def is_old() -> bool:
        found = await operator.json("explain", whole.target("main"))
        return bool(found["asks_origin"] and found["verdict"].startswith("307 to the commit"))

    await until(is_old, "main is asked for anew after freshness.ref_ttl")
    part = operator.stage.file("acme/part", "model.safetensors")
    found = await operator.json("explain", part.target())
    assert found["asks_origin"]
    assert found["verdict"].endswith("would be fetched")
    shown = await operator.says("explain", "/acme/nothing/resolve/main/model.safetensors")
    assert "not known to be for everybody" in shown.stdout
    assert (await operator.says("explain", "/acme/../nothing")).returncode == 2


async def test_log_reads_filters_and_names_what_is_wrong(operator: Operator) -> None:
    log = str(operator.node.access_log)
    await operator.stage.ask(operator.node, "/acme/nowhere/resolve/main/x", method="HEAD")

    async def refused() -> str:
        return (await penstock("log", log, "--status", "4xx")).stdout

    assert "acme/nowhere" in await until(refused, "the line is written")
    whole = await penstock("log", log, "--repo", "acme/part", "--cache", "miss", "--json")
    lines = [json.loads(line) for line in whole.stdout.splitlines()]
    assert lines
    assert {line["repo"] for line in lines} == {"acme/part"}
    assert (await penstock("log", log, "--since", "1h", "-n", "1")).stdout.count("\n") == 1
    assert (await penstock("log", log + "-none")).returncode == 3
    assert (await penstock("log", log, "--since", "yesterday")).returncode == 2


async def test_top_shows_rates(operator: Operator) -> None:
    found = await operator.json("top", "--times", "1", "--every", "0.1")
    assert found["rates"]["requests"] >= 0
    shown = await operator.says("top", "--times", "1", "--every", "0.1")
    assert shown.returncode == 0, shown.said
    assert "to clients" in shown.stdout
