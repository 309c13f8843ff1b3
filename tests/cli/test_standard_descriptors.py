"""A node whose standard output and error are closed, or that nobody reads."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_SAYS_WHAT_HOLDS = """
import os, sys
from proxy.service.system import keep_standard_descriptors
keep_standard_descriptors()
report = os.dup(3)
print(*(os.readlink(f"/proc/self/fd/{number}") for number in (0, 1, 2)), sep="\\n", file=open(report, "w"))
"""


@pytest.mark.parametrize("closed", [(1,), (2,), (1, 2), (0, 1, 2)])
def test_the_null_device_takes_the_place_of_what_is_closed(closed: tuple[int, ...], tmp_path: Path) -> None:
    report = tmp_path / "report"
    shell = " ".join(f"{number}>&-" for number in closed)
    subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" -c "$1" {shell} 3>"$2"', sys.executable, _SAYS_WHAT_HOLDS, str(report)],
        cwd=ROOT,
        check=True,
        timeout=60,
    )
    found = report.read_text().splitlines()
    assert all(found[number] == os.devnull for number in closed)


def test_talking_to_nobody_ends_nothing(tmp_path: Path) -> None:
    """The one who started us read the first line and left: what is written ends in EPIPE."""
    code = "from proxy.cli.talk import say, hint; say('one'); hint('two'); import pathlib; pathlib.Path('done').touch()"
    reading, writing = os.pipe()
    os.close(reading)
    try:
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=writing,
            check=False,
            timeout=60,
        )
    finally:
        with suppress(OSError):
            os.close(writing)
    assert (tmp_path / "done").exists()
