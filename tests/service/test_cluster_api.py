"""The fleet on the admin port and in the command, before nodes of one process and of several."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.config.schema import Disk, StoreSection
from proxy.core.blob import BlobKey
from proxy.service.cluster_api import of_all_workers, placement_of
from proxy.service.weight import node_weight
from tests.kit.command import penstock
from tests.service.running import Running, running, until

KEY = BlobKey.sha256("7a" * 32)


def member(name: str, **traits: Any) -> dict[str, Any]:
    usual = {"state": "up", "ejected": False, "weight": 1, "share": 0.5, "boot": ""}
    return {"name": name, "url": f"http://{name}:8080", **usual, **traits}


def status(*members: dict[str, Any]) -> dict[str, Any]:
    return {"node": "a", "advertise": "http://a:8080", "state": "up", "view": 1, "redis": "up", "members": [*members]}


# --- what is decided --------------------------------------------------------------------------------------------------


def test_a_peer_that_one_worker_leaves_out_is_shown_as_ejected() -> None:
    told = [
        {},
        status(member("a"), member("b")),
        {"silent": True},
        status(member("a"), member("b", ejected=True)),
        None,
    ]
    found = of_all_workers(told)
    assert found is not None
    assert [one["ejected"] for one in found["members"]] == [False, True]


@pytest.mark.parametrize("told", [[], [None], [{}, {"silent": True}]])
def test_while_no_worker_says_anything_nothing_is_known(told: list[Any]) -> None:
    assert of_all_workers(told) is None


def test_placement_names_the_owner_and_who_comes_next() -> None:
    everybody = placement_of(status(member("a"), member("b"), member("c")), KEY, 20)
    assert [one["slice"] for one in everybody] == list(range(20))
    assert all(sorted([one["owner"], *one["next"]]) == ["a", "b", "c"] for one in everybody)
    assert {one["owner"] for one in everybody} == {"a", "b", "c"}
    left = placement_of(status(member("a"), member("b", state="draining"), member("c", ejected=True)), KEY, 20)
    assert all([one["owner"], *one["next"]] == ["a", "b"] for one in left)


def test_a_node_weighs_what_its_disks_may_hold(tmp_path: Path) -> None:
    sized = StoreSection(disks=(Disk(path=tmp_path, size="1GiB"), Disk(path=tmp_path / "b", size="2GiB")))
    assert node_weight(sized) == 3 << 30
    room = os.statvfs(tmp_path)
    assert node_weight(StoreSection(disks=(Disk(path=tmp_path),))) == int(room.f_blocks * room.f_frsize * 0.9)
    assert node_weight(StoreSection(disks=(Disk(path=tmp_path / "gone"),))) == 1


# --- a node of toys ---------------------------------------------------------------------------------------------------


def fleet_flags(folder: Path, *peers: str) -> list[str]:
    secret = folder / "cluster.secret"
    secret.write_text("ab" * 32)
    flags = ["--advertise", "http://a:8080", "--node", "a", "--cluster-secret-file", str(secret)]
    return [*flags, *(word for peer in peers for word in ("--peer", peer))]


async def commanded(node: Running, *words: str) -> tuple[int, str, str]:
    """`penstock cluster …` before `node`: exit code, standard output, standard error."""
    done = await penstock("cluster", *words, "--admin", node.standing["admin"])
    return done.returncode, done.stdout, done.stderr


async def test_a_node_alone_is_in_no_cluster(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        assert (await node.admin("/-/api/cluster"))[0] == 404
        code, out, err = await commanded(node, "status")
        assert (code, out) == (3, "")
        assert "in no cluster" in err


async def test_status_and_placement_and_draining_of_one_process(tmp_path: Path) -> None:
    async with running(tmp_path, *fleet_flags(tmp_path, "http://b:8080", "http://c:8080")) as node:
        code, out, err = await commanded(node, "status")
        assert code == 0, err
        rows = [line.split() for line in out.splitlines()]
        assert [row[0] for row in rows] == ["node", "a", "b:8080", "c:8080"]

        code, out, err = await commanded(node, "placement", KEY.hex, "--slices", "3", "--json")
        assert code == 0, err
        found = json.loads(out)
        assert found["key"] == str(KEY)
        assert [one["slice"] for one in found["slices"]] == [0, 1, 2]

        code, out, err = await commanded(node, "drain", "--json")
        assert code == 0, err
        assert json.loads(out)["state"] == "draining"
        assert err == ""
        assert json.loads((await node.admin("/-/api/cluster"))[1])["state"] == "draining"
        assert (await node.admin("/-/readyz"))[0] == 200, "it goes on serving"


async def test_all_workers_drain_and_a_restarted_one_too(tmp_path: Path) -> None:
    async with running(tmp_path, "--workers", "2", *fleet_flags(tmp_path, "http://b:8080")) as node:
        code, _, err = await commanded(node, "drain")
        assert code == 0, err
        assert "a owns no slices any more" in err
        before = node.standing["workers"]
        os.kill(before[0], signal.SIGKILL)
        await until(lambda: len(set(node.standing["workers"]) - set(before)) == 1, "a new worker")

        async def all_drained() -> bool:
            workers = json.loads((await node.admin("/-/status"))[1])["workers"]
            return [one["node"]["cluster"]["state"] for one in workers] == ["draining"] * 2

        await until(all_drained, "both workers drain")


async def test_what_must_not_drain_a_node_does_not_and_what_is_no_question_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, *fleet_flags(tmp_path)) as node, aiohttp.ClientSession() as session:
        code, _, err = await commanded(node, "drain")
        assert code == 5
        assert "nobody could take the slices over" in err

        # a form in somebody's browser
        url = f"http://{node.standing['admin']}/-/api/cluster/drain"
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            async with session.post(url, data=b"{}", headers={"Content-Type": kind}) as answer:
                assert answer.status == 415
        assert json.loads((await node.admin("/-/api/cluster"))[1])["state"] == "up"

        for query in ("", "key=zz", f"key={KEY}&slices=0", f"key={KEY}&slices=-1", f"key={KEY}&slices=1e9"):
            assert (await node.admin(f"/-/api/cluster/placement?{query}"))[0] == 400, query
