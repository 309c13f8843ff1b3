"""The section of the configuration that makes many nodes one cache. A node by itself needs nothing of it."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Final, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import BeforeValidator, field_validator, model_validator

from .redis_address import parse_redis_address
from .spelling import AnchoredPath, Duration, Section, Size, knob

_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Peer(Section):
    """Another node, as one is told of it."""

    url: str = knob(..., "Its `advertise`.")
    weight: Size | None = knob(None, "Its `weight`; the same as ours when not set.", ge=1)

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        return node_url(value)

    def __str__(self) -> str:
        return self.url if self.weight is None else f"{self.url}={self.weight}"


def _peer(value: object) -> object:
    """`URL` or `URL=SIZE`, as on the command line."""
    if isinstance(value, Peer | dict):
        return value
    url, equals, weight = str(value).partition("=")
    return {"url": url, "weight": weight} if equals else {"url": url}


PeerSpec = Annotated[Peer, BeforeValidator(_peer)]


class ClusterSection(Section):
    """Many nodes as one cache: each byte comes from the origin once for all of them. One node alone needs nothing."""

    node: str | None = knob(
        None, "The name of this node, for people and metrics; host:port of its own address when not set."
    )
    advertise: str | None = knob(
        None,
        "The address at which the other nodes reach this one's data port. Nodes share slices out by these addresses: "
        "give one that stays with the node, and to all the same spelling of it.",
    )
    secret_file: AnchoredPath | None = knob(
        None, "File with the secret of the cluster (at least 32 bytes), the same on every node: who knows it is a peer."
    )
    redis: str | None = knob(
        None,
        "Where the nodes find one another and agree who fetches what; Valkey does as well. Without it the nodes know "
        "one another by `peers` alone. It may be away at any time.",
    )
    redis_password_file: AnchoredPath | None = knob(
        None, "File with the password of Redis. It is never part of the address, which shows in messages."
    )
    peers: tuple[PeerSpec, ...] = knob(
        (),
        "The other nodes as URL or URL=WEIGHT, for a fleet without Redis and for the time in which Redis is away.",
    )
    weight: Size | None = knob(
        None, "This node's share of the slices, relative to the others; the sizes of its disks when not set.", ge=1
    )
    lease_ttl: Duration = knob(
        "10s", "A lease on a slice is free this long after the last sign of its holder.", ge=0.5, le=300
    )
    heartbeat: Duration = knob(
        "1s", "A node says this often that it is there; after five times that in silence it is gone.", ge=0.05, le=60
    )

    connect_timeout: Duration = knob("1s", "Time to connect to a peer.", gt=0, le=30)
    progress_timeout: Duration = knob(
        "5s",
        "A peer that gives no byte for this long is left, and the next one asked from where it stopped.",
        gt=0,
        le=60,
    )
    rate_floor: Size = knob(
        "1MiB",
        "A peer that gives less than this a second, over progress_timeout, is slow: what it has not given is fetched "
        "from the origin as well, as long as that is no more than 5 % of all that was fetched.",
    )
    prove_after: Duration = knob(
        "10s",
        "So long after a slice was first read it is proven, if nobody has the whole file: one node reads all slices "
        "once, from where they are, and the others compare theirs.",
        gt=0,
        le=3600,
    )
    connections_per_peer: int = knob(64, "Reads under way from one peer (and worker).", ge=1)

    @property
    def is_on(self) -> bool:
        """Whether this node has, or may get, peers."""
        return self.advertise is not None

    @property
    def name(self) -> str:
        """`node`, or host:port of our address. Only where `is_on`."""
        if self.node is not None:
            return self.node
        assert self.advertise is not None, "a node outside of a cluster has no name"
        return name_of(self.advertise)

    @field_validator("node")
    @classmethod
    def _node(cls, value: str | None) -> str | None:
        if value is not None and not _NAME.fullmatch(value):
            raise ValueError(
                "is no name of a node: at most 64 letters, digits, dots, hyphens, underscores, like cache-3"
            )
        return value

    @field_validator("advertise")
    @classmethod
    def _advertise(cls, value: str | None) -> str | None:
        return None if value is None else node_url(value)

    @field_validator("peers", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("peers")
    @classmethod
    def _peers(cls, value: tuple[Peer, ...]) -> tuple[Peer, ...]:
        urls = [peer.url for peer in value]
        if twice := sorted({url for url in urls if urls.count(url) > 1}):
            raise ValueError(f"{', '.join(twice)}: named twice; name each peer once")
        return value

    @field_validator("redis")
    @classmethod
    def _redis(cls, value: str | None) -> str | None:
        if value is None:
            return None
        # A wrong address is not repeated here: what is wrong may be the password in it.
        if parse_redis_address(value).login.password is not None:
            raise ValueError("holds a password; write it into a file and name that in cluster.redis_password_file")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if wrong := [*self._missing(), *self._at_odds()]:
            raise ValueError("; ".join(wrong))
        return self

    def _missing(self) -> list[str]:
        wrong = []
        asked_for = [name for name in ("redis", "peers", "node", "secret_file") if getattr(self, name)]
        if asked_for and self.advertise is None:
            names = " and ".join(asked_for)
            wrong.append(f"{names} without advertise: say with --advertise where the other nodes reach this one")
        if self.advertise is not None and self.secret_file is None:
            wrong.append(
                "advertise without secret_file: peers know one another by a secret of the cluster; make one with "
                "`openssl rand -hex 32 > cluster.secret`, copy it to every node, name it with --cluster-secret-file"
            )
        if self.redis_password_file is not None and self.redis is None:
            wrong.append("redis_password_file without redis: set both or neither")
        return wrong

    def _at_odds(self) -> list[str]:
        wrong = []
        if self.advertise in [peer.url for peer in self.peers]:
            wrong.append(f"{self.advertise} is this node itself and named as its peer; name only the others")
        stated = [self.weight is not None, *(peer.weight is not None for peer in self.peers)]
        if self.peers and self.redis is None and any(stated) and not all(stated):
            wrong.append(
                "without redis nodes cannot tell one another what they weigh: set weight here and every peer's with "
                "--peer URL=WEIGHT, the same on all nodes, or none of them"
            )
        return wrong


def node_url(text: str) -> str:
    """The one spelling of a node's address: scheme, host in lower case, port unless it is the scheme's own.

    Raises ValueError for what is none, or is no place others could reach."""
    mistake = ValueError(f"{text!r} is no address of a node; write it like http://cache-3.example:8080")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise mistake from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or _has_more(text, parts) or port == 0:
        raise mistake
    if _is_every_address(parts.hostname):
        raise ValueError(f"{text!r} is where a node listens, not where others reach it; name its host or its address")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = host if port in (None, _DEFAULT_PORTS[parts.scheme]) else f"{host}:{port}"
    return f"{parts.scheme}://{place}"


def name_of(url: str) -> str:
    """What a node that is known by its address alone is called: host:port of it."""
    return url.partition("://")[2]


def _has_more(text: str, parts: SplitResult) -> bool:
    """More than scheme, host and port, or a host no two clients write alike."""
    return parts.path.strip("/") != "" or any(mark in text for mark in "@?#") or not text.isascii()


def _is_every_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
