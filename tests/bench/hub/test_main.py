"""The program, as a process."""

import asyncio
import json
import signal
import socket
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.hub.__main__ import main


@asynccontextmanager
async def program(ready: Path, *arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.hub", "--ready-file", str(ready), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    try:
        async with asyncio.timeout(20):
            while not ready.exists():
                assert process.returncode is None, await process.communicate()
                await asyncio.sleep(0.02)
        yield process, json.loads(ready.read_text())
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def fetched(url: str) -> bytes:
    def fetch() -> bytes:
        with urllib.request.urlopen(url) as response:
            return bytes(response.read())

    return await asyncio.to_thread(fetch)


async def test_it_serves_folders_and_synthetic_files_until_sigterm(tmp_path: Path) -> None:
    folder = tmp_path / "real"
    folder.mkdir()
    (folder / "config.json").write_text('{"real": true}')
    arguments = (
        "--repo",
        f"acme/real={folder}",
        "--model",
        "acme/made:model.bin=100kB",
        "--model",
        "datasets/acme/made:b=1",
    )
    async with program(tmp_path / "ready.json", *arguments) as (process, ready):
        assert await fetched(f"{ready['url']}/acme/real/resolve/main/config.json") == b'{"real": true}'
        assert len(await fetched(f"{ready['url']}/acme/made/resolve/main/model.bin")) == 100_000
        assert len(await fetched(f"{ready['url']}/datasets/acme/made/resolve/main/b")) == 1
        assert ready["pid"] == process.pid
        process.send_signal(signal.SIGTERM)
        out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert f"export HF_ENDPOINT={ready['url']}" in out.decode()


async def test_the_demo_has_something_of_everything(tmp_path: Path) -> None:
    async with program(tmp_path / "ready.json", "--demo", "--size", "64KiB") as (_, ready):
        info = json.loads(await fetched(f"{ready['url']}/api/models/acme/riverbed-7b?blobs=true"))
        assert sum(one["rfilename"].endswith(".safetensors") for one in info["siblings"]) == 3
        assert (info["cardData"]["license"], info["pipeline_tag"]) == ("apache-2.0", "text-generation")
        assert json.loads(await fetched(f"{ready['url']}/api/datasets/acme/rainfall"))["sha"]
        assert json.loads(await fetched(f"{ready['url']}/api/models/acme/dam-guard"))["gated"] == "auto"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--listen", "nowhere"],
        ["--bandwidth", "fast"],
        ["--model", "acme/x"],
        ["--repo", "acme/x=/no/such/folder"],
        ["--nope"],
    ],
)
def test_a_wrong_command_line_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_a_port_in_use_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "{}:{}".format(*taken.getsockname())
        assert main(["--listen", address, "--size", "1kB"]) == 1
    assert f"cannot listen on {address}" in capsys.readouterr().err
