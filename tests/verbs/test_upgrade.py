"""`penstock upgrade`: what is installed now takes the place of what runs, or it is said why not."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import proxy
from tests.kit.command import Done, penstock
from tests.kit.nursery import ENTRY, born
from tests.service.running import ROOT, Running, alive, running, until

TWO = ("--workers", "2", "--drain-timeout", "5s")


async def upgrade(node: Running, *words: str) -> Done:
    return await penstock("upgrade", *words, "--admin", node.standing["admin"])


async def told(node: Running, *words: str) -> dict[str, Any]:
    done = await upgrade(node, *words, "--json")
    assert done.returncode == 0, done.said
    return dict(json.loads(done.stdout))


def an_installation(folder: Path) -> Path:
    """A folder in which the packages are, so that others can be installed there."""
    folder.mkdir()
    (folder / "proxy").symlink_to(ROOT / "proxy")
    (folder / "tests").symlink_to(ROOT / "tests")
    return folder


def install(version: str, folder: Path) -> None:
    (folder / "proxy").unlink()
    (folder / "proxy").mkdir()
    (folder / "proxy" / "__init__.py").write_text(f"__path__ = [{str(ROOT / 'proxy')!r}]\n__version__ = {version!r}\n")


async def test_the_installed_version_takes_over_and_the_download_goes_on(tmp_path: Path) -> None:
    installed = an_installation(tmp_path / "installed")
    async with (
        running(tmp_path, *TWO, installed=installed) as node,
        node.ask(f"/slow?until={tmp_path}/finish") as download,
    ):
        assert await download.content.readexactly(5) == b"first"
        old = node.standing["workers"]
        install("99.1.0", installed)
        would = await upgrade(node, "--dry-run")
        assert f"99.1.0 could take over from {proxy.__version__}" in would.stderr
        assert node.standing["workers"] == old, "that was a dry run"
        done = await told(node)
        assert (done["before"]["version"], done["after"]["version"]) == (proxy.__version__, "99.1.0")
        assert done["after"]["program"] == done["before"]["program"] + 1
        assert not set(old) & set(node.standing["workers"])
        waiting = asyncio.create_task(told(node, "--until-gone"))
        await until(lambda: len({*old} & {pid for pid in old if alive(pid)}) == 1, "one still has its download")
        (tmp_path / "finish").touch()
        assert await download.content.readexactly(5) == b"other"
        assert (await waiting)["after"]["old_workers"] == 0
        status = await upgrade(node, "--status")
        assert "99.1.0 serves with 2 workers" in status.stderr


async def test_a_disk_format_that_the_installed_version_does_not_read_forbids_it(tmp_path: Path) -> None:
    async with running(tmp_path, *TWO) as node:
        before = node.standing["workers"]
        (tmp_path / "disk").mkdir()
        (tmp_path / "disk" / "disk.json").write_text('{"format": 7, "id": "ab"}')
        done = await upgrade(node)
        assert done.returncode == 5, done.said
        assert "has format 7, this program reads 1" in done.stderr
        assert node.standing["workers"] == before
        checked = await penstock("check", "--disk", f"{tmp_path}/disk=1GiB")
        assert checked.returncode != 0
        assert "has format 7" in checked.stderr, "it is found before as well"


async def test_workers_that_do_not_start_are_told_and_the_old_ones_serve(tmp_path: Path) -> None:
    async with running(tmp_path, *TWO) as node:
        before = node.standing["workers"]
        broken = tmp_path / "disk" / "broken"
        broken.parent.mkdir()
        broken.touch()
        done = await upgrade(node, "--within", "1s")
        assert done.returncode == 4, done.said
        assert "not there yet" in done.stderr

        async def it_says_why() -> bool:
            status = (await upgrade(node, "--status")).stderr
            return "2 old workers serve" in status and "the disk is broken" in status

        await until(it_says_why, "the reason of the workers")
        assert (await node.get("/"))["pid"] in before
        broken.unlink()
        mended = await told(node, "--until-gone")
        assert mended["after"]["workers"] == 2, "another try mends it"


async def test_ctrl_c_ends_the_waiting_and_names_what_tells_how_far_it_is(tmp_path: Path) -> None:
    async with running(tmp_path, *TWO) as node:
        broken, talk = tmp_path / "disk" / "broken", tmp_path / "talk"
        broken.parent.mkdir()
        broken.touch()  # its workers do not start, so there is something to wait for
        words = ("-m", ENTRY, "upgrade", "--admin", node.standing["admin"])
        with talk.open("wb") as output:
            environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
            child = await born(words, folder=ROOT, environment=environment, output=output)
        try:
            await until(lambda: "has taken over" in talk.read_text(), "it waits for the new workers")
            child.send_signal(signal.SIGINT)
            async with asyncio.timeout(15):
                assert await child.wait() == 1
        finally:
            child.kill()
        assert "no longer waited for: the upgrade goes on" in talk.read_text()
        assert "penstock upgrade --status" in talk.read_text()
        broken.unlink()

        async def serves() -> bool:
            return (await told(node, "--status"))["state"] == "serving"

        await until(serves, "the upgrade has gone on")


async def test_one_process_says_what_it_needs(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        done = await upgrade(node)
        assert done.returncode == 5
        assert "set server.supervised and restart once" in done.stderr
        assert (await told(node, "--status"))["state"] == "serving"


async def test_without_a_node_it_says_so() -> None:
    done = await penstock("upgrade", "--admin", "127.0.0.1:1")
    assert done.returncode == 4
    assert "no node answers" in done.stderr
    assert (await penstock("upgrade", "--within", "soon")).returncode == 2
