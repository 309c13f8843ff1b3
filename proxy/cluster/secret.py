"""The secret of the cluster: who knows it is a peer."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from proxy.core.errors import ConfigError

SECRET_BYTES: Final = 32
"""Least length of the file's content, white space at its ends left away."""


def cluster_secret(path: Path) -> bytes:
    """What the file `path` holds, without white space at its ends. Raises ConfigError."""
    try:
        content = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(
            [
                f"cluster.secret_file {path}: cannot be read: {error.strerror}; copy it from another node, or make the "
                f"first with: (umask 077; openssl rand -hex 32 > {path})"
            ]
        ) from error
    if len(content) < SECRET_BYTES:
        raise ConfigError(
            [
                f"cluster.secret_file {path}: holds {len(content)} bytes, and is to hold {SECRET_BYTES} "
                f"at least: (umask 077; openssl rand -hex 32 > {path}), and the same on every node"
            ]
        )
    return content
