"""The secret of the cluster (who knows it is a peer), and the address of Redis with its password: both from files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from proxy.config.cluster import ClusterSection
from proxy.config.redis_address import RedisAddress, parse_redis_address
from proxy.core.errors import ConfigError
from proxy.core.secret import Secret

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


def redis_address(section: ClusterSection) -> RedisAddress | None:
    """Where Redis is and how to come in; None without one. Raises ConfigError."""
    if section.redis is None:
        return None
    address = parse_redis_address(section.redis)
    if section.redis_password_file is None:
        return address
    try:
        password = section.redis_password_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(
            [f"cluster.redis_password_file {section.redis_password_file}: cannot be read: {why}"]
        ) from None
    if not password:
        raise ConfigError([f"cluster.redis_password_file {section.redis_password_file}: holds no password"])
    return replace(address, login=replace(address.login, password=Secret(password)))
