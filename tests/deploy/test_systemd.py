"""The unit of systemd: it is right, it is tight, and the node does what it promises there."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bench.hub.content import MIB
from tests.kit.judges import DEPLOY
from tests.kit.procfs import is_running
from tests.kit.stage import Stage
from tests.kit.tools import needed
from tests.kit.waiting import until

UNIT = DEPLOY / "systemd" / "penstock.service"
EXPOSURE = 1.5
"""What `systemd-analyze security` may say at most; 10 is a service that may do anything."""

EVERYDAY = frozenset(
    ("read", "openat", "newfstatat", "lseek", "mmap", "munmap", "close", "ioctl", "getdents64", "futex", "rt_sigaction")
)
"""Calls that any Python makes by the thousand: held to be made, so that strace need not stop at each of them."""


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that exists on this machine."""
    copy = tmp_path / "penstock.service"
    copy.write_text(UNIT.read_text().replace("/opt/penstock/bin/penstock", "/bin/true"))
    return copy


def test_systemd_finds_nothing_wrong(unit: Path) -> None:
    assert _analyzed("verify", "--man=no", str(unit)) == ""


def test_it_may_do_little(unit: Path) -> None:
    said = _analyzed("security", "--offline=true", f"--threshold={EXPOSURE * 10:.0f}", str(unit))
    found = re.search(r"Overall exposure level for penstock\.service: ([\d.]+)", said)
    assert found is not None, said
    assert float(found[1]) <= EXPOSURE


async def test_a_node_makes_no_call_that_the_unit_forbids(stage: Stage) -> None:
    """What a supervised worker, a reload and an upgrade ask of the kernel, against the unit's SystemCallFilter."""
    calls = stage.folder / "calls"
    file = stage.blob("acme/tiny", "model.safetensors", 3 * MIB)
    unwatched = f"trace=!{','.join(sorted(EVERYDAY))}"
    strace = (needed("strace"), "-f", "--seccomp-bpf", "-c", "-e", unwatched, "-o", str(calls))
    node = await stage.node(wrapper=strace, server__supervised=True)
    await stage.read(node, file)
    node.signal(signal.SIGHUP)
    before = await stage.renew(node)
    await until(lambda: not any(is_running(pid) for pid in before), "the old workers end")
    await stage.read(node, file)
    await stage.stop(node)
    await until(lambda: calls.exists() and "total" in calls.read_text(), "strace has summed up")
    made = {line.split()[-1] for line in calls.read_text().splitlines()[2:] if not line.startswith("---")} - {"total"}
    assert {"execve", "sendfile", "prlimit64"} <= made
    assert (made | EVERYDAY) - _allowed() == set()


async def test_the_manager_hears_of_start_reload_life_and_end(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        node = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy.cli.main", "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"),
            *("--disk", f"{tmp_path}/disk=64MiB", "--origin", "http://127.0.0.1:9", "--access-log", ""),
            env={"PATH": "/usr/bin:/bin", "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"},
            stderr=asyncio.subprocess.DEVNULL,
            cwd=DEPLOY.parent,
        )
        try:
            await _hears(manager, "READY=1")
            await _hears(manager, "WATCHDOG=1")
            node.send_signal(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in await _hears(manager, "RELOADING=1")
            await _hears(manager, "READY=1")
            node.send_signal(signal.SIGTERM)
            await _hears(manager, "STOPPING=1")
            assert await asyncio.wait_for(node.wait(), 20) == 0
        finally:
            if node.returncode is None:
                node.kill()
                await node.wait()


async def _hears(manager: socket.socket, wanted: str) -> str:
    """Wait for a message that begins so."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(20):
        while not (said := (await loop.sock_recv(manager, 4096)).decode()).startswith(wanted):
            pass
    return said


def _analyzed(*words: str) -> str:
    program = shutil.which("systemd-analyze") or needed("systemd-analyze")
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def _allowed() -> set[str]:
    """The calls that the lines SystemCallFilter of the unit leave, as systemd reads them: one after another."""
    found: set[str] = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", UNIT.read_text(), re.M):
        named = {call for word in line.lstrip("~").split() for call in _calls(word)}
        found = found - named if line.startswith("~") else found | named
    # What systemd always lets through (see SystemCallFilter= in systemd.exec(5)).
    return found | {"execve", "exit", "exit_group", "getrlimit", "rt_sigreturn", "sigreturn"}


def _calls(word: str) -> set[str]:
    if not word.startswith("@"):
        return {word}
    lines = _analyzed("syscall-filter", word).splitlines()[1:]
    members = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    return {call for member in members for call in _calls(member)}
