"""What can be seen to be wrong before anything is started: folders, files, libraries. Looks only, makes nothing."""

from __future__ import annotations

import os
import ssl
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import http_parser

from proxy.cluster.secret import cluster_secret, redis_address
from proxy.config.cluster import ClusterSection
from proxy.config.schema import Config
from proxy.core.errors import ConfigError
from proxy.core.sizes import MIB, format_size
from proxy.origin.credentials import own_token
from proxy.origin.xet_streams import is_installed
from proxy.store.recovery import refusal_of

from .admission import admission_of

_LEAST_ROOM: Final = MIB
"""Bytes without which not even the indexes can be opened."""


def obstacles(config: Config) -> list[str]:
    """Why a node with `config` could not serve on this machine, each with what to do; empty when it could."""
    found: list[str | None] = []
    if len(lost := _unusable_disks(config)) == len(config.store.disks):
        found += lost
    if config.store.state is not None:
        found.append(_folder(f"state folder {config.store.state}", config.store.state, "--state"))
    if config.server.ready_file is not None:
        found.append(_parent("ready file", config.server.ready_file))
    if config.log.access not in ("", "-"):
        found.append(_parent("access log", Path(config.log.access).expanduser()))
    found += [
        _tls(config),
        _own_token(config),
        *_cluster_secrets(config.cluster),
        _admin_token(config),
        _tracing(config),
        _parser(),
    ]
    return [obstacle for obstacle in found if obstacle is not None]


def hints(config: Config) -> list[str]:
    """What is allowed and probably not meant."""
    found = []
    server = config.server
    if server.listen.host in ("0.0.0.0", "::") and server.external_url is None:
        found.append(
            f"listening on every address ({server.listen}): set --external-url if clients reach this node "
            "through another name or port than the one they send in Host"
        )
    if (token := config.admin.token_file) is not None and _is_read_by_others(token):
        found.append(f"admin.token_file {token} can be read by others; run: chmod 600 {token}")
    found += _cluster_hints(config.cluster)
    if len(lost := _unusable_disks(config)) < len(config.store.disks):
        # A node of many disks must come up with one of them dead.
        found += [f"{obstacle} (the node goes on without it)" for obstacle in lost]
    if config.origin.kind == "hub" and config.origin.xet and not is_installed():
        found.append(
            "hf_xet is not installed, so what the Hub gives by Xet alone (files above 50 GB) cannot be fetched: "
            "pip install 'penstock[xet]', or set origin.xet = false"
        )
    floor = config.store.free_floor
    for disk in config.store.disks:
        free = _free(disk.path)
        if free is not None and free < floor:
            found.append(
                f"disk {disk.path}: its file system has {format_size(free)} free, and store.free_floor keeps "
                f"{format_size(floor)} free: nothing new is kept there until there is more room"
            )
        elif disk.size is not None and free is not None and disk.size > free:
            found.append(
                f"disk {disk.path} may grow to {format_size(disk.size)} but its file system has {format_size(free)} "
                "free; eviction starts at the free-space floor"
            )
    return found


def _cluster_hints(cluster: ClusterSection) -> list[str]:
    found = []
    if cluster.secret_file is not None and _is_read_by_others(cluster.secret_file):
        found.append(
            f"cluster.secret_file {cluster.secret_file} can be read by others; run: chmod 600 {cluster.secret_file}"
        )
    if cluster.is_on and cluster.redis is None and not cluster.peers:
        found.append("a cluster without redis and peers: nobody can be asked; name them with --redis or --peer")
    if cluster.advertise is not None and _is_loopback(cluster.advertise):
        found.append(f"cluster.advertise {cluster.advertise} is reached from this machine alone")
    return found


def _is_read_by_others(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & 0o007)
    except OSError:
        return False


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == "localhost" or host.startswith("127.") or host == "::1"


def _unusable_disks(config: Config) -> list[str]:
    looked_at = (_disk(disk.path) for disk in config.store.disks)
    return [obstacle for obstacle in looked_at if obstacle is not None]


def _disk(path: Path) -> str | None:
    try:
        if found := _folder(f"disk {path}", path, "--disk"):
            return found
    except OSError as error:
        return f"disk {path}: it cannot be looked at: {error.strerror}; dmesg | tail"
    try:
        refused = refusal_of(path)
    except OSError as error:
        return f"disk {path}: its disk.json cannot be read: {error.strerror}; ls -l {path}/disk.json"
    return None if refused is None else f"disk {path}: {refused}"


def _folder(what: str, path: Path, flag: str) -> str | None:
    """Whether `path` is, or could be made, a folder we can write to."""
    standing = _nearest(path)
    if not os.path.isdir(standing):
        return f"{what}: {standing} is a file, not a folder; name another place with {flag}"
    if os.statvfs(standing).f_flag & os.ST_RDONLY:
        return f"{what}: its file system is mounted read-only; remount it, or name another place with {flag}"
    if not os.access(standing, os.W_OK | os.X_OK):
        verb = "write to" if standing == path else f"make it, for lack of permission in {standing}; nor write to"
        return f"{what}: cannot {verb} it as user id {os.geteuid()}; run: sudo install -d -o {os.geteuid()} {path}"
    if (_free(path) or 0) < _LEAST_ROOM:
        return f"{what}: its file system is full; make room there, or name another place with {flag}"
    return None


def _parent(what: str, path: Path) -> str | None:
    folder = path.parent
    if not os.path.isdir(folder):
        return f"{what} {path}: the folder {folder} does not exist; run: mkdir -p {folder}"
    if os.path.isdir(path):
        return f"{what} {path}: it is a folder; name a file"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"{what} {path}: no permission to write in {folder}"
    return None


def _tls(config: Config) -> str | None:
    certificate, key = config.server.tls_certificate, config.server.tls_key
    if certificate is None or key is None:
        return None
    for flag, path in (("--tls-certificate", certificate), ("--tls-key", key)):
        if not os.path.isfile(path):
            return f"{flag} {path}: there is no such file; give the path of a PEM file"
        if not os.access(path, os.R_OK):
            return f"{flag} {path}: no permission to read it as user id {os.geteuid()}"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, OSError, ValueError) as error:
        return f"--tls-certificate {certificate} and --tls-key {key}: no usable pair: {error}"
    return None


def _own_token(config: Config) -> str | None:
    if config.origin.token_file is None:
        return None
    try:
        own_token(config.origin.token_file)
    except ConfigError as error:
        return str(error)
    return None


def _admin_token(config: Config) -> str | None:
    try:
        admission_of(config)
    except ConfigError as error:
        return str(error)
    return None


def _cluster_secrets(cluster: ClusterSection) -> list[str]:
    found = []
    try:
        if cluster.secret_file is not None:
            cluster_secret(cluster.secret_file)
    except ConfigError as error:
        found += error.mistakes
    try:
        redis_address(cluster)
    except ConfigError as error:
        found += error.mistakes
    return found


def _tracing(config: Config) -> str | None:
    if config.tracing.endpoint is None or find_spec("opentelemetry"):
        return None
    return "tracing.endpoint is set and OpenTelemetry is not installed; run: pip install 'penstock[otel]'"


def _parser() -> str | None:
    if not hasattr(http_parser, "HttpRequestParserC"):
        return "aiohttp came without its C parser; install its wheel: pip install --force-reinstall aiohttp"
    return None


def _nearest(path: Path) -> Path:
    """`path` itself, or the closest ancestor that exists."""
    # Not Path.exists, which raises where a folder on the way may not be entered.
    while not os.path.exists(path) and path != path.parent:
        path = path.parent
    return path


def _free(path: Path) -> int | None:
    try:
        room = os.statvfs(_nearest(path))
    except OSError:
        return None
    return room.f_bavail * room.f_frsize
