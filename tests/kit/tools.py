"""Programs that tests need besides Python. A missing one is a failure that says how to get it, never a skip."""

from __future__ import annotations

import shutil

import pytest

PACKAGES = {
    "cc": "gcc libc6-dev",
    "setpriv": "util-linux",
    "redis-server": "redis-server",
    "strace": "strace",
    "curl": "curl",
    "unshare": "util-linux",
    "mkfs.ext4": "e2fsprogs",
    "systemd-analyze": "systemd",
    "bash": "bash",
    "zsh": "zsh",
    "fish": "fish",
}
"""Program -> the Debian package that has it. `make test` installs them where it may."""


def needed(program: str) -> str:
    """Where `program` is."""
    found = shutil.which(program)
    if found is None:
        pytest.fail(f"{program} is needed; run: sudo apt-get install -y {PACKAGES[program]}", pytrace=False)
    return found
