"""What can be seen to be wrong before anything is started: folders, files, libraries. Looks only, makes nothing."""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import http_parser

from proxy.cluster.secret import cluster_secret, redis_address
from proxy.config.cluster import ClusterSection
from proxy.config.schema import Config
from proxy.core.errors import ConfigError
from proxy.core.sizes import format_size
from proxy.origin.credentials import own_token
from proxy.origin.xet_streams import is_installed

from .admission import admission_of
from .folders import DiskLook, answered, disks_looked_at, file_obstacle, folder_obstacle


def obstacles(config: Config, looks: Sequence[DiskLook] | None = None) -> list[str]:
    """Why a node with `config` could not serve on this machine, each as `what is so; what to do`; empty when it could.

    `looks` is how its disks were found, when they were looked at already."""
    looks = disks_looked_at(config.store.disks) if looks is None else looks
    found: list[str | None] = []
    if all(look.obstacle for look in looks):
        found += [look.obstacle for look in looks]
    found.append(_state(config, looks))
    if config.server.ready_file is not None:
        found.append(_file("ready file", config.server.ready_file))
    if config.log.access not in ("", "-"):
        found.append(_file("access log", Path(config.log.access).expanduser()))
    found += [
        _tls(config),
        _own_token(config),
        *_cluster_secrets(config.cluster),
        _admin_token(config),
        _tracing(config),
        _parser(),
    ]
    return [obstacle for obstacle in found if obstacle is not None]


def hints(config: Config, looks: Sequence[DiskLook] | None = None) -> list[str]:
    """What is allowed and probably not meant, each as `what is so; what to do`; `looks` as for `obstacles`."""
    looks = disks_looked_at(config.store.disks) if looks is None else looks
    found = []
    server = config.server
    if server.listen.host in ("0.0.0.0", "::") and server.external_url is None:
        found.append(
            f"listening on every address ({server.listen}); set --external-url if clients reach this node "
            "through another name or port than the one they send in Host"
        )
    if (token := config.admin.token_file) is not None and _is_read_by_others(token):
        found.append(f"admin.token_file {token} can be read by others; run: chmod 600 {token}")
    found += _cluster_hints(config.cluster)
    if not all(look.obstacle for look in looks):
        # A node of many disks must come up with one of them dead.
        found += [f"{look.obstacle} (the node goes on without it)" for look in looks if look.obstacle]
    if config.origin.kind == "hub" and config.origin.xet and not is_installed():
        found.append(
            "hf_xet is not installed, so what the Hub gives by Xet alone (files above 50 GB) cannot be fetched; "
            "pip install 'penstock[xet]', or set origin.xet = false"
        )
    return found + [hint for look in looks if (hint := _room(look, config.store.free_floor))]


def _room(look: DiskLook, floor: int) -> str | None:
    """What is to be said of the room on a disk."""
    path, free, size = look.disk.path, look.free, look.disk.size
    if free is not None and free < floor:
        so = "nothing new is kept there until there is more room" if look.is_new else "the cache there gives way"
        return (
            f"disk {path}: its file system has {format_size(free)} free, and store.free_floor keeps "
            f"{format_size(floor)} free: {so}; free some, or lower store.free_floor"
        )
    # Of one that is in use, what the cache holds is not free, and its own.
    if look.is_new and size is not None and free is not None and size > free:
        return (
            f"disk {path} may grow to {format_size(size)} but its file system has {format_size(free)} free: eviction "
            f"starts at the free-space floor; set its size to at most {format_size(max(0, free - floor))}"
        )
    return None


def _state(config: Config, looks: Sequence[DiskLook]) -> str | None:
    """What keeps the catalogue from being opened. It can do without its folder, but not wait for it."""
    path = config.store.state
    if path is not None:
        return answered(f"state folder {path}", lambda: folder_obstacle(f"state folder {path}", path, "--state"))
    if looks[0].answers:
        return None
    return f"{looks[0].obstacle}; the state folder is on it: name another place with --state"


def _file(what: str, path: Path) -> str | None:
    return answered(f"{what} {path}", lambda: file_obstacle(what, path))


def _cluster_hints(cluster: ClusterSection) -> list[str]:
    found = []
    if cluster.secret_file is not None and _is_read_by_others(cluster.secret_file):
        found.append(
            f"cluster.secret_file {cluster.secret_file} can be read by others; run: chmod 600 {cluster.secret_file}"
        )
    if cluster.is_on and cluster.redis is None and not cluster.peers:
        found.append("a cluster without redis and peers: nobody can be asked; name them with --redis or --peer")
    if cluster.advertise is not None and _is_loopback(cluster.advertise):
        found.append(
            f"cluster.advertise {cluster.advertise} is reached from this machine alone; name an address of it "
            "that the other nodes reach"
        )
    return found


def _is_read_by_others(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & 0o007)
    except OSError:
        return False


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == "localhost" or host.startswith("127.") or host == "::1"


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
