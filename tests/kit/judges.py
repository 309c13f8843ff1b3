"""The programs that judge the files in deploy/ (`make judges`): run, and what they said."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
_HOME = ROOT / ".venv-deploy"
DEBIAN_PYTHON = _HOME / "debian/usr/lib/python3/dist-packages"
"""Where the unpacked packages have what they import; to come after what the environment has itself."""


def judge(program: str) -> str:
    """Where `program` is: of the environment, or of the packages unpacked beside it."""
    for folder in ("bin", "debian/usr/bin", "debian/usr/sbin"):
        if (found := _HOME / folder / program).exists():
            return str(found)
    pytest.fail(f"{program} is needed; run: make judges", pytrace=False)


def environment() -> dict[str, str]:
    """For programs out of unpacked packages: where their libraries are."""
    libraries = ":".join(str(folder) for folder in (_HOME / "debian/usr/lib").glob("*-linux-gnu"))
    return {**os.environ, "LD_LIBRARY_PATH": libraries}


def judged(program: str, *words: str | Path, folder: Path = DEPLOY, told: str = "") -> str:
    """All that the program says of it, and of what it is `told` on standard input. Raises AssertionError when it does
    not leave with 0."""
    done = subprocess.run(
        [judge(program), *map(str, words)],
        cwd=folder,
        env=environment(),
        input=told,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def python(script: str, *words: str | Path) -> str:
    """What `script` prints in the environment of the judges, whose packages are not the mirror's."""
    return judged("python", "-c", script, *words)
