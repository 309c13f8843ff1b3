"""On a terminal of one's own: what is live there, and what is not where there is none."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from bench.hub.content import MIB
from tests.kit.nursery import ENTRY
from tests.kit.screen import Screen, on_screen

from .verbs import Operator, operated

ALTERNATE = "\x1b[?1049h"
"""What turns a terminal to its second screen."""
HOME_AGAIN = "\x1b[?1049l"
"""What turns it back."""
CTRL_C = "\x03"
ENVIRONMENT = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "LANG": "C.UTF-8", "HOME": "/nowhere"}


def command(operator: Operator, *words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", ENTRY, *words, "--admin", str(operator.node.admin))


async def test_top_is_live_and_heeds_the_size(tmp_path: Path) -> None:
    async with operated(tmp_path) as operator:
        words = command(operator, "top", "--every", "0.2")
        async with on_screen(ENVIRONMENT, *words, columns=100) as screen:
            await screen.shows(ALTERNATE)
            await screen.shows("to clients")
            at = len(screen.text)
            await screen.shows("to clients", after=at)  # drawn anew, without a key
            screen.resize(20, 40)
            at = len(screen.text)
            await screen.shows("to clients", after=at)
            assert "Traceback" not in screen.text


async def test_a_job_is_one_line_that_moves(tmp_path: Path) -> None:
    async with operated(tmp_path) as operator:
        operator.stage.blob("acme/large", "model.safetensors", 8 * MIB)
        gate = operator.stage.hub.hold("cdn", after=MIB)
        async with on_screen(ENVIRONMENT, *command(operator, "warm", "acme/large"), columns=110) as screen:
            await screen.shows("8.0 MiB")  # of so many bytes
            at = len(screen.text)
            await screen.shows("8.0 MiB", after=at)  # live
            shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.text[at:])
            assert "\n" not in shown, "in its line"
            screen.resize(40, 60)
            at = len(screen.text)
            await screen.shows("1.0/8.0 MiB", after=at)  # in one piece
        gate.release()


async def test_ctrl_c_at_a_bar_is_heeded_every_time(tmp_path: Path) -> None:
    """At whatever moment, also right after another size: the bar goes, and what goes on without it is named."""
    async with operated(tmp_path) as operator:
        operator.stage.blob("acme/large", "model.safetensors", 8 * MIB)
        gate = operator.stage.hub.hold("cdn", after=MIB)
        words: tuple[str, ...] = ("warm", "acme/large")
        for turn in range(5):
            async with on_screen(ENVIRONMENT, *command(operator, *words), columns=110) as screen:
                await screen.shows("8.0 MiB")
                if turn % 2:
                    screen.resize(40, 60)
                screen.press(CTRL_C)
                assert await screen.ends() == 1, screen.text
            (job,) = (await operator.json("jobs"))["jobs"]
            assert_has_a_cursor(screen)
            left = re.sub(r"\x1b\[[0-9;]*m", "", screen.text.rpartition("\x1b[2K")[2])
            assert left.startswith(f"error: {job['id']} is no longer watched, and goes on"), "on a line of its own"
            assert job["state"] == "running"
            words = ("jobs", "follow", job["id"])
        gate.release()


async def test_ctrl_c_gives_the_terminal_back_from_top(tmp_path: Path) -> None:
    async with operated(tmp_path) as operator:
        for _ in range(5):
            async with on_screen(ENVIRONMENT, *command(operator, "top", "--every", "0.1")) as screen:
                await screen.shows("to clients")
                screen.resize(20, 60)
                screen.press(CTRL_C)
                assert await screen.ends() == 0, screen.text
            assert_has_a_cursor(screen)
            assert screen.text.rindex(HOME_AGAIN) > screen.text.rindex(ALTERNATE)


async def test_a_node_that_goes_away_is_told_where_it_can_be_read(tmp_path: Path) -> None:
    """Not on the second screen, which is gone with the command."""
    async with operated(tmp_path) as operator:
        async with on_screen(ENVIRONMENT, *command(operator, "top", "--every", "0.1")) as screen:
            await screen.shows("to clients")
            await operator.node.kill()
            assert await screen.ends() == 4, screen.text
        assert_has_a_cursor(screen)
        assert "no node answers" in screen.text.rpartition(HOME_AGAIN)[2]


def assert_has_a_cursor(screen: Screen) -> None:
    assert screen.text.rindex("\x1b[?25h") > screen.text.rindex("\x1b[?25l")


async def test_without_a_terminal_there_is_no_escape_in_what_is_said(tmp_path: Path) -> None:
    """Also where nobody has said NO_COLOR."""
    async with operated(tmp_path) as operator:
        operator.stage.blob("acme/small", "model.safetensors", MIB)
        for words in (("warm", "acme/small"), ("top", "--times", "1", "--every", "0.1"), ("ls",), ("jobs",)):
            child = await asyncio.create_subprocess_exec(
                *command(operator, *words),
                env=ENVIRONMENT,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            said, _ = await child.communicate()
            assert child.returncode == 0, said
            assert b"\x1b" not in said, words
