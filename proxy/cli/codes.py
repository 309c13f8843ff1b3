"""Exit codes of every command."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    OK = 0
    FAILURE = 1
    USAGE = 2
    """A wrong flag, or a configuration that cannot be."""
    NOT_FOUND = 3
    UNHEALTHY = 4
    CONFLICT = 5
    """The port is somebody else's, the file exists."""
