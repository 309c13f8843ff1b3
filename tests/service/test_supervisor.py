"""Real processes: crashes, drains, reloads, used ports."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import aiohttp

from proxy.service.supervisor import pause_before_restart
from tests.service.running import Running, alive, running, started, until

TWO = ("--workers", "2")


async def test_workers_share_the_port_and_the_ready_file_names_them(tmp_path: Path) -> None:
    async with running(tmp_path, *TWO) as node:
        pids = node.standing["workers"]
        assert len(set(pids)) == 2
        seen = {(await node.get("/"))["pid"] for _ in range(60)}
        assert seen == set(pids)
        assert node.standing["pid"] == node.process.pid
        assert (await node.admin("/-/readyz"))[0] == 200
        assert not node.standing["data"].endswith(":0")


async def test_a_crashed_worker_is_restarted_counted_and_counts_on(tmp_path: Path) -> None:
    async with running(tmp_path, *TWO) as node:
        for _ in range(20):
            await node.get("/count")
        before = node.standing["workers"]
        os.kill(before[0], signal.SIGKILL)
        await until(lambda: node.standing["workers"] != before, "a new worker")
        after = node.standing["workers"]
        assert len(set(before) & set(after)) == 1
        assert await node.number("penstock_worker_restarts_total") == 1
        for _ in range(20):
            await node.get("/count")
        assert await node.number('penstock_response_bytes_total{route="other",source="memory"}') == 200


async def test_workers_killed_before_they_have_read_their_orders_are_restarted(tmp_path: Path) -> None:
    # The supervisor's end of the socket pair gives a reset then, not an end.
    async with running(tmp_path, *TWO) as node:
        killed: set[int] = set()

        def six_are_killed() -> bool:
            for pid in _children(node.process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
            return len(killed) >= 6

        await until(six_are_killed, "six deaths")

        async def ready() -> bool:
            return (await node.admin("/-/readyz"))[0] == 200 and len(_children(node.process.pid)) == 2

        await until(ready, "two workers live again")
        assert "task failed" not in node.log


async def test_a_worker_that_says_nonsense_is_replaced(tmp_path: Path) -> None:
    async with running(tmp_path, *TWO) as node:
        before = node.standing["workers"]
        with suppress(aiohttp.ClientError):
            await node.get("/babble")
        await until(lambda: node.standing["workers"] != before, "a new worker")
        assert "task failed" not in node.log
        assert "cannot be understood" in node.log


async def test_an_answer_too_long_for_the_line_to_the_supervisor_is_refused_and_costs_no_worker(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "long").touch()
    async with running(tmp_path, *TWO) as node:
        before = node.standing["workers"]
        status, said = await node.admin("/-/api/pins")
        assert status == 503
        assert "longer than a worker can give" in said
        assert node.standing["workers"] == before


async def test_the_others_serve_while_a_worker_is_dead(tmp_path: Path) -> None:
    async with running(tmp_path, *TWO) as node:
        os.kill(node.standing["workers"][0], signal.SIGKILL)
        await until(lambda: _restarts(node), "the death is noticed")
        assert (await node.admin("/-/readyz"))[0] == 200


async def test_sigterm_lets_a_download_finish_and_refuses_new_ones(tmp_path: Path) -> None:
    async with running(tmp_path, *TWO) as node, _slow(node, tmp_path) as response:
        assert await response.content.readexactly(5) == b"first"
        data = node.standing["data"]
        node.signal(signal.SIGTERM)
        await until(lambda: not node.ready_file.exists(), "the ready file goes")
        await until(lambda: _refused(data), "the port closes")
        assert node.process.returncode is None
        (tmp_path / "finish").touch()
        assert await response.content.readexactly(5) == b"other"
        assert await node.ended() == 0
        assert "drain cut short" not in node.log


async def test_an_order_to_stop_reaches_workers_that_are_just_being_born(tmp_path: Path) -> None:
    async with started(tmp_path, *TWO) as node:
        children = Path(f"/proc/{node.process.pid}/task/{node.process.pid}/children")
        await until(lambda: bool(children.read_text().split()), "the first worker")
        pids = [int(pid) for pid in children.read_text().split()]
        node.signal(signal.SIGTERM)
        assert await node.ended() == 0
        assert not any(alive(pid) for pid in pids)


async def test_a_second_sigterm_ends_at_once_what_still_runs(tmp_path: Path) -> None:
    async with running(tmp_path, *TWO) as node, _slow(node, tmp_path) as response:
        await response.content.readexactly(5)
        pids = node.standing["workers"]
        node.signal(signal.SIGTERM)
        await until(lambda: "draining" in node.log, "the drain begins")
        node.signal(signal.SIGTERM)
        assert await node.ended() == 0
        assert not any(alive(pid) for pid in pids)


async def test_the_drain_timeout_ends_what_lasts_longer(tmp_path: Path) -> None:
    async with running(tmp_path, *TWO, "--drain-timeout", "200ms") as node, _slow(node, tmp_path) as response:
        await response.content.readexactly(5)
        node.signal(signal.SIGTERM)
        assert await node.ended() == 0
        assert "drain cut short" in node.log


async def test_while_the_drain_delay_lasts_the_node_is_unready_and_serves(tmp_path: Path) -> None:
    async with running(tmp_path, *TWO, "--drain-delay", "30s") as node:
        standing = node.standing
        node.signal(signal.SIGTERM)
        await until(lambda: not node.ready_file.exists(), "the ready file goes")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{standing['admin']}/-/readyz") as response:
                assert response.status == 503
            async with session.get(f"http://{standing['data']}/") as response:
                assert response.status == 200


async def test_sighup_takes_over_what_may_change_and_tells_what_may_not(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    file.write_text('[freshness]\nref_ttl = "30s"\n')
    async with running(tmp_path, *TWO, "--config", str(file)) as node:
        file.write_text('[freshness]\nref_ttl = "7s"\n[fetch]\nparallel = 9\n')
        node.signal(signal.SIGHUP)

        async def everywhere() -> bool:
            return {await node.get("/ref_ttl") for _ in range(20)} == {7.0}

        await until(everywhere, "the new value")
        await until(lambda: "fetch.parallel: 4 -> 9" in node.log, "the diff in the log")
        assert "needs a restart" in node.log


async def test_a_wrong_configuration_on_sighup_keeps_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    file.write_text('[freshness]\nref_ttl = "30s"\n')
    async with running(tmp_path, *TWO, "--config", str(file)) as node:
        file.write_text('[freshness]\nref_tll = "7s"\n')
        node.signal(signal.SIGHUP)
        await until(lambda: "did you mean freshness.ref_ttl" in node.log, "the refusal in the log")
        assert await node.get("/ref_ttl") == 30.0


async def test_workers_end_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    async with running(tmp_path, *TWO) as node:
        pids = node.standing["workers"]
        node.signal(signal.SIGKILL)
        await node.ended()
        await until(lambda: not any(alive(pid) for pid in pids), "no worker lives")


async def test_two_nodes_never_share_a_port(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    async with running(first, *TWO) as node, started(second, *TWO, "--listen", node.standing["data"]) as other:
        assert await other.ended() == 5
        assert "is in use" in other.log
        assert "--listen 127.0.0.1:0" in other.log
        assert len({(await node.get("/"))["pid"] for _ in range(40)}) == 2


async def test_a_node_that_cannot_be_fails_with_its_reason(tmp_path: Path) -> None:
    async with started(tmp_path, *TWO, assembly="tests.service.toy:refuse") as node:
        assert await node.ended() == 1
        assert "the disk /nowhere is read-only" in node.log
        assert "try:" in node.log


async def test_workers_that_die_before_any_was_ready_are_not_restarted_for_ever(tmp_path: Path) -> None:
    async with started(tmp_path, *TWO, assembly="tests.service.toy:stumble") as node:
        assert await node.ended() == 1
        assert "ZeroDivisionError" in node.log


def test_the_pause_before_a_restart_doubles_up_to_ten_seconds() -> None:
    pauses = [pause_before_restart(deaths) for deaths in range(1, 12)]
    assert pauses[:3] == [0.1, 0.2, 0.4]
    assert pauses[-1] == pause_before_restart(10_000) == 10.0


async def _restarts(node: Running) -> bool:
    return await node.number("penstock_worker_restarts_total") > 0


async def _refused(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return True
    writer.close()
    return False


def _slow(node: Running, folder: Path) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
    """A download that has begun and ends when `folder/finish` is made."""
    return node.ask(f"/slow?until={folder}/finish")


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
