"""`penstock completion`, in the shells themselves: a person presses Tab."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from proxy.cli.main import main
from tests.kit.nursery import ENTRY, ROOT
from tests.kit.screen import on_screen
from tests.kit.tools import needed

CASES = [
    ("penstock wa", {"warm"}),
    ("penstock jobs ", {"follow", "cancel"}),
    ("penstock warm --in", {"--include"}),
    ("penstock explain --method ", {"GET", "HEAD", "POST"}),
]
"""What is on the line, and what completes it."""
WITHIN = 60.0

BASH = """
source "$1"
read -r -a COMP_WORDS <<< "$2"
[[ "$2" == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
of=$(complete -p penstock) && [[ "$of" == *_penstock_completion* ]] || exit 9
_penstock_completion penstock
printf '%s\\n' "${COMPREPLY[@]}"
"""
FISH = 'source $argv[1]; complete --do-complete "$argv[2]"'
ZSH = """
autoload -Uz compinit && compinit -u -D
source "$SCRIPT"
LISTMAX=1000 PS1='ready> '
zstyle ':completion:*' list-prompt ''
"""


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `penstock`, as an installation has it."""
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "penstock"
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m {ENTRY} "$@"\n')
    script.chmod(0o755)
    return folder


@pytest.fixture
def environment(command: Path, tmp_path: Path) -> dict[str, str]:
    path = f"{command}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(tmp_path), "LANG": "C.UTF-8", "TERM": "dumb", "COLUMNS": "200", "LINES": "50"}


async def run(environment: dict[str, str], *words: str) -> str:
    child = await asyncio.create_subprocess_exec(
        *words, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(WITHIN):
        out, errors = await child.communicate()
    assert (child.returncode, errors) == (0, b""), errors.decode()
    return out.decode()


def script_for(shell: str, folder: Path) -> Path:
    script = folder / f"penstock.{shell}"
    script.write_text(CliRunner().invoke(main, ["completion", shell]).stdout)
    return script


@pytest.mark.parametrize(("line", "wanted"), CASES)
async def test_tab_in_bash(environment: dict[str, str], tmp_path: Path, line: str, wanted: set[str]) -> None:
    script = script_for("bash", tmp_path)
    said = await run(environment, needed("bash"), "--norc", "-c", BASH, "bash", str(script), line)
    assert set(said.split()) == wanted


@pytest.mark.parametrize(("line", "wanted"), CASES[-2:])
async def test_tab_in_fish(environment: dict[str, str], tmp_path: Path, line: str, wanted: set[str]) -> None:
    script = script_for("fish", tmp_path)
    said = await run(environment, needed("fish"), "--no-config", "-c", FISH, str(script), line)
    assert {row.split("\t")[0] for row in said.splitlines()} == wanted


async def test_tab_in_zsh(environment: dict[str, str], tmp_path: Path) -> None:
    """Zsh completes on a terminal alone: here it has one."""
    (tmp_path / ".zshrc").write_text(ZSH)
    environment["SCRIPT"] = str(script_for("zsh", tmp_path))
    async with on_screen(environment, needed("zsh"), "-i") as screen:
        await screen.shows("ready> ")
        for line, wanted in CASES:
            at = len(screen.text)
            screen.press(f"{line}\t")
            # What was typed is shown first, then what completes it, or the list of what could.
            for word in wanted:
                await screen.shows(word, after=at)
            screen.press("\x15")  # the line is begun anew
