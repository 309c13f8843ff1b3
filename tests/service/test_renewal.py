"""Another program in the place of the running one: nobody is refused, nobody is cut."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.config.load import load
from proxy.service.renewal import Former, Legacy, at_odds, become, fixed
from tests.service.running import Running, alive, running, until

TWO = ("--workers", "2", "--drain-timeout", "5s")
LEGACY = Legacy((3, 4), (5,), "/tmp/metrics", 6, "ab" * 32, ((0, 7), (1, 8)), (Former(0, 99, 9, False, ("starting",)),))


async def test_a_download_ends_in_the_old_worker_while_the_new_ones_serve(tmp_path: Path) -> None:
    async with running(tmp_path, *TWO) as node, node.ask(f"/slow?until={tmp_path}/finish") as download:
        assert await download.content.readexactly(5) == b"first"
        before = node.standing["workers"]
        for _ in range(10):
            await node.get("/count")
        await _renewed(node)
        assert node.standing["pid"] == node.process.pid

        async def only_new_ones_answer() -> bool:
            return {(await node.get("/"))["pid"] for _ in range(40)} == set(node.standing["workers"])

        await until(only_new_ones_answer, "the old workers take no more connections")
        await until(lambda: sum(alive(pid) for pid in before) == 1, "the one with nothing open ends")
        assert await node.number('penstock_workers{state="leaving"}') == 1
        assert await node.number('penstock_response_bytes_total{route="other",source="memory"}') == 50, "it counts on"
        (tmp_path / "finish").touch()
        assert await download.content.readexactly(5) == b"other"
        await until(lambda: not any(alive(pid) for pid in before), "the old workers end")
        assert "cut short" not in node.log


async def test_no_connection_is_refused_or_cut_between_the_two(tmp_path: Path) -> None:
    async with running(tmp_path, *TWO) as node, _asked_all_the_time(node) as answered:
        await _renewed(node)
        await until(lambda: len(set(answered)) == 4, "workers of both programs answered")


async def test_a_program_that_does_not_start_leaves_the_running_one(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    file.write_text("")
    async with running(tmp_path, *TWO, "--config", str(file)) as node:
        before = node.standing["workers"]
        file.write_text("[store]\nthreads = 4\n")
        node.signal(signal.SIGUSR2)
        await until(lambda: "not renewed" in node.log, "the refusal")
        assert "store.threads" in node.log
        assert node.standing["workers"] == before
        assert (await node.get("/"))["pid"] in before


async def test_workers_that_cannot_be_let_the_old_ones_serve_until_they_can(tmp_path: Path) -> None:
    async with running(tmp_path, *TWO) as node:
        before = node.standing["workers"]
        broken = tmp_path / "disk" / "broken"
        broken.parent.mkdir()
        broken.touch()
        node.signal(signal.SIGUSR2)
        await until(lambda: node.log.count("worker died") >= 2, "the new workers fail")
        assert (await node.get("/"))["pid"] in before
        assert (await node.admin("/-/readyz"))[0] == 200
        broken.unlink()
        await until(lambda: not set(before) & set(node.standing["workers"]), "new workers")
        await until(lambda: not any(alive(pid) for pid in before), "the old workers end")


async def test_a_worker_of_the_old_program_that_is_killed_leaves_no_zombie(tmp_path: Path) -> None:
    async with running(tmp_path, *TWO) as node, node.ask(f"/slow?until={tmp_path}/never") as download:
        await download.content.readexactly(5)
        before = node.standing["workers"]
        await _renewed(node)
        await until(lambda: sum(alive(pid) for pid in before) == 1, "one has nothing open")
        [victim] = [pid for pid in before if alive(pid)]
        os.kill(victim, signal.SIGKILL)
        await until(lambda: not Path(f"/proc/{victim}").exists(), "it is buried")
        assert (await node.get("/"))["pid"] in node.standing["workers"]


async def test_sigterm_after_a_renewal_ends_old_and_new_workers(tmp_path: Path) -> None:
    async with running(tmp_path, *TWO) as node, node.ask(f"/slow?until={tmp_path}/finish") as download:
        await download.content.readexactly(5)
        everybody = {*node.standing["workers"]}
        await _renewed(node)
        everybody |= {*node.standing["workers"]}
        node.signal(signal.SIGTERM)
        await until(lambda: not node.ready_file.exists(), "the ready file goes")
        (tmp_path / "finish").touch()
        assert await download.content.readexactly(5) == b"other"
        assert await node.ended() == 0
        assert not any(alive(pid) for pid in everybody)


async def test_a_single_worker_under_a_supervisor_is_renewed(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    file.write_text("[server]\nsupervised = true\n")
    async with running(tmp_path, "--config", str(file)) as node:
        await _renewed(node)

        async def new_one_answers() -> bool:
            return [(await node.get("/"))["pid"]] == node.standing["workers"]

        await until(new_one_answers, "the door is the new worker's")


async def test_one_process_alone_says_that_it_cannot(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        node.signal(signal.SIGUSR2)
        await until(lambda: "server.supervised" in node.log, "the advice")
        assert (await node.get("/"))["pid"] == node.process.pid


def test_a_legacy_survives_its_telling() -> None:
    assert Legacy.of_json(LEGACY.to_json()) == LEGACY


def test_a_program_that_cannot_be_run_changes_nothing() -> None:
    ours, theirs = os.pipe()
    os.close(theirs)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    legacy = Legacy((ours,), (), "", ours, "", (), ())
    with pytest.raises(FileNotFoundError):
        become(("/nowhere/python",), legacy)
    assert not os.get_inheritable(ours)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    os.close(ours)


def test_programs_agree_on_where_they_are() -> None:
    one = load(environment={}, flags={"server.workers": ("--workers", "2")}).config
    other = load(environment={}, flags={"server.listen": ("--listen", "127.0.0.1:1")}).config
    assert at_odds(fixed(one), fixed(one)) is None
    assert "server.supervised" in str(at_odds(fixed(one), fixed(other)))
    assert "server.listen changed" in str(at_odds(fixed(one), {**fixed(other), "has_parent": True}))


async def _renewed(node: Running) -> None:
    before = node.standing["workers"]
    node.signal(signal.SIGUSR2)
    await until(lambda: not set(before) & set(node.standing["workers"]), "new workers")


@asynccontextmanager
async def _asked_all_the_time(node: Running) -> AsyncIterator[list[int]]:
    """Five clients that open a connection for each question; the processes that answered. Any failure is raised."""
    answered: list[int] = []

    async def ask() -> None:
        while True:
            answered.append((await node.get("/"))["pid"])

    clients = [asyncio.create_task(ask()) for _ in range(5)]
    try:
        yield answered
    finally:
        for client in clients:
            client.cancel()
        ends = await asyncio.gather(*clients, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends
