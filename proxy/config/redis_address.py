"""Where Redis is: one server, a service behind Sentinels, or a Redis Cluster; addresses are like those of other tools.

    redis://[user:password@]host[:port][/database]
    redis+sentinel://[user:password@]host[:port],host[:port]/service[/database]
    redis+cluster://[user:password@]host[:port],host[:port]

`rediss…` is the same over TLS; `?ca=FILE` names the certificates to trust instead of the system's. The user and the
password are those of Redis itself, and may be percent-encoded; Sentinels are asked with the same ones when the address
says `?sentinel_login=same`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from proxy.core.secret import Secret

PORT: Final = 6379
SENTINEL_PORT: Final = 26379

Host = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Login:
    """How to come in. `tls` with the trust store of the system, or with `ca`, a file of PEM certificates."""

    username: str | None = None
    password: Secret | None = None
    tls: bool = False
    ca: str | None = None


@dataclass(frozen=True, slots=True)
class OneServer:
    """One Redis, or whatever answers at that name."""

    host: Host
    database: int
    login: Login


@dataclass(frozen=True, slots=True)
class BehindSentinels:
    """The primary of `service`, which the Sentinels know."""

    sentinels: tuple[Host, ...]
    service: str
    database: int
    login: Login
    same_login: bool
    """Whether the Sentinels want the login too."""


@dataclass(frozen=True, slots=True)
class InCluster:
    """A Redis Cluster, found through any of `hosts`."""

    hosts: tuple[Host, ...]
    login: Login


RedisAddress = OneServer | BehindSentinels | InCluster


def parse_redis_address(text: str) -> RedisAddress:
    """The address that `text` spells. Raises ValueError, which never shows a password."""
    parts = urlsplit(text)
    base, _, kind = parts.scheme.partition("+")
    if base not in ("redis", "rediss") or kind not in ("", "sentinel", "cluster"):
        raise ValueError("not a Redis address; write it like redis://host:6379/0 (redis+sentinel://, redis+cluster://)")
    credentials, _, hosts = parts.netloc.rpartition("@")
    options = _options(parts.query, ("ca", "sentinel_login") if kind == "sentinel" else ("ca",))
    login = _login(credentials, tls=base == "rediss", ca=options.get("ca"))
    path = [unquote(piece) for piece in parts.path.split("/") if piece]
    if kind == "sentinel":
        if not 1 <= len(path) <= 2:
            raise ValueError("a Sentinel address names the service: redis+sentinel://host:26379/mymaster")
        database = _database(path[1:])
        return BehindSentinels(
            _hosts(hosts, SENTINEL_PORT), path[0], database, login, options.get("sentinel_login") == "same"
        )
    if kind == "cluster":
        if path:
            raise ValueError("a Redis Cluster has no databases: redis+cluster://host:6379,host:6379")
        return InCluster(_hosts(hosts, PORT), login)
    found = _hosts(hosts, PORT)
    if len(found) != 1:
        raise ValueError("one server is one host; several are redis+sentinel://… or redis+cluster://…")
    return OneServer(found[0], _database(path), login)


def _options(query: str, known: tuple[str, ...]) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := [name for name in options if name not in known]:
        raise ValueError(f"a Redis address has no option {unknown[0]!r}; it has: {', '.join(known)}")
    return options


def _login(credentials: str, *, tls: bool, ca: str | None) -> Login:
    username, _, password = credentials.partition(":")
    return Login(unquote(username) or None, Secret(unquote(password)) if password else None, tls, ca)


def _hosts(text: str, port: int) -> tuple[Host, ...]:
    return tuple(_host(one.strip(), port) for one in text.split(","))


def _host(text: str, default: int) -> Host:
    # without a login: a mistake is named in a message, and a password must not be
    parts = urlsplit(f"//{text}")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if not parts.hostname or port == 0:
        raise ValueError("a host of a Redis address is host or host:port, [::1]:port for IPv6")
    return parts.hostname, port or default


def _database(path: list[str]) -> int:
    if not path:
        return 0
    if len(path) > 1 or not path[0].isascii() or not path[0].isdecimal():
        raise ValueError("the database of a Redis address is a number: redis://host:6379/0")
    return int(path[0])
