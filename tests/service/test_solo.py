"""One process is a whole node."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.service.running import running, started, until


async def test_one_process_serves_clients_and_admin(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        assert (await node.get("/"))["pid"] == node.standing["pid"] == node.process.pid
        assert node.standing["workers"] == []
        assert await node.admin("/-/livez") == (200, "ok\n")
        assert (await node.admin("/-/readyz"))[0] == 200
        await node.get("/count")
        assert await node.number('penstock_response_bytes_total{route="other",source="memory"}') == 5
        assert await node.number('penstock_workers{state="ready"}') == 1


async def test_sigterm_lets_a_download_finish(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.ask(f"/slow?until={tmp_path}/finish") as response:
        assert await response.content.readexactly(5) == b"first"
        node.signal(signal.SIGTERM)
        await until(lambda: not node.ready_file.exists(), "the ready file goes")
        (tmp_path / "finish").touch()
        assert await response.content.readexactly(5) == b"other"
        assert await node.ended() == 0
        assert "drain cut short" not in node.log


async def test_a_second_sigterm_ends_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.ask(f"/slow?until={tmp_path}/finish") as response:
        await response.content.readexactly(5)
        node.signal(signal.SIGTERM)
        await until(lambda: "draining" in node.log, "the drain begins")
        node.signal(signal.SIGTERM)
        assert await node.ended() == 0


async def test_sighup_reloads(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    file.write_text('[freshness]\nref_ttl = "30s"\n')
    async with running(tmp_path, "--config", str(file)) as node:
        file.write_text('[freshness]\nref_ttl = "7s"\n')
        node.signal(signal.SIGHUP)

        async def taken() -> bool:
            return bool(await node.get("/ref_ttl") == 7.0)

        await until(taken, "the new value")


async def test_an_unreachable_origin_is_a_warning(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        await until(lambda: "the origin is out of reach" in node.log, "the warning")
        assert node.process.returncode is None


async def test_it_prints_the_line_to_paste(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        await until(lambda: f"export HF_ENDPOINT=http://{node.standing['data']}" in node.log, "the line")


async def test_a_used_port_is_told_with_a_way_out(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    async with running(first) as node:
        async with started(second, "--listen", node.standing["data"]) as other:
            assert await other.ended() == 5
            assert "is in use" in other.log
        async with started(second, "--admin", node.standing["admin"]) as other:
            assert await other.ended() == 5
            assert "--admin 127.0.0.1:0" in other.log


async def test_a_ready_file_that_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "ready.json").write_text('{"data": "127.0.0.1:1"}')
    async with started(tmp_path, assembly="tests.service.toy:refuse") as node:
        assert await node.ended() == 1
        assert not node.ready_file.exists()
        assert "the disk /nowhere is read-only" in node.log
