"""Tickets: what a client may carry around and bring back, sealed so that nobody else can write or read one.

A ticket stands where no Authorization field arrives (xorb addresses of Xet, hrefs of git-lfs, Locations of OCI): it was
handed out to a caller whose right had just been proven, and stands for that caller until it expires. It is no right:
whoever brings it is judged as that caller is (decision 0009). It is encrypted as well as signed (Fernet: AES-CBC,
HMAC-SHA256, compared in constant time), because for a private repo it holds the caller's token: any worker of the node
must be able to ask the origin in that caller's name, and tokens lie on no disk.

All workers of a node share one secret, which outlives restarts; nodes behind one address are given the same file.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, Self

import orjson
from cryptography.fernet import Fernet, InvalidToken

from proxy.core.clock import Clock
from proxy.core.errors import ConfigError, TicketExpired, TicketForged
from proxy.core.secret import Secret

SECRET_BYTES: Final = 32
FILE: Final = "signing.secret"
_LONGEST_TICKET: Final = 12 * 1024
log = logging.getLogger(__name__)


class Purpose(Enum):
    """What a ticket is for; one made for one thing opens no other."""

    XET = "xet"
    """A client's access token for the reconstructions of one repo at one commit."""
    XORB = "xorb"
    """The bytes of one file, as xorbs."""
    LFS = "lfs"
    OCI = "oci"


LONGEST: Final = {
    Purpose.XET: 15 * 60.0,
    Purpose.XORB: 15 * 60.0,
    Purpose.LFS: 24 * 3600.0,
    Purpose.OCI: 24 * 3600.0,
}
"""Seconds a ticket may live. Clients of Xet come for another one in time; those of git-lfs and the registry ask once
for each object, and a terabyte at 12 MB/s takes a day."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What an opened ticket says. `until` is wall-clock seconds; `token` the caller's own, where it has to be known."""

    claims: Mapping[str, Any]
    until: float
    token: Secret | None = None


class Signatures:
    """Seals and opens tickets under the node's secret."""

    def __init__(self, secret: bytes, *, clock: Clock) -> None:
        assert len(secret) >= SECRET_BYTES, "the node's secret is made of at least 32 random bytes"
        self._clock = clock
        self._boxes = {purpose: Fernet(_key_for(secret, purpose)) for purpose in Purpose}

    @classmethod
    def open(cls, state: Path, *, clock: Clock, file: Path | None = None) -> Self:
        """The signatures of the node: its secret from `file`, or else from one in the folder `state`, made by whichever
        worker comes first. Raises ConfigError when `file` cannot be read or holds too little."""
        return cls(_given(file) if file is not None else _own(state), clock=clock)

    @classmethod
    def passing(cls, *, clock: Clock) -> Self:
        """Signatures that nobody else can check: for one process, until it ends."""
        return cls(secrets.token_bytes(SECRET_BYTES), clock=clock)

    def seal(self, purpose: Purpose, claims: Mapping[str, Any], *, until: float, token: Secret | None = None) -> str:
        """A ticket, in characters that need no quoting in a URL. `until` is cut to its `LONGEST`."""
        now = self._clock.wall()
        content: dict[str, Any] = {"c": dict(claims), "x": round(min(until, now + LONGEST[purpose]), 3)}
        if token is not None:
            content["t"] = token.reveal()
        sealed = self._boxes[purpose].encrypt_at_time(orjson.dumps(content), int(now))
        return sealed.decode("ascii").rstrip("=")

    def read(self, purpose: Purpose, ticket: Secret) -> Ticket:
        """What the ticket says. Raises TicketExpired, TicketForged (not of this node, for something else, damaged)."""
        content = self._opened(purpose, ticket.reveal())
        if self._clock.wall() >= content["x"]:
            raise TicketExpired("this address, or token, has expired; ask for a new one")
        token = content.get("t")
        return Ticket(content["c"], content["x"], None if token is None else Secret(token))

    def _opened(self, purpose: Purpose, text: str) -> dict[str, Any]:
        forged = TicketForged("this address, or token, was not given out here")
        if not text.isascii() or len(text) > _LONGEST_TICKET:
            raise forged
        try:
            content: dict[str, Any] = orjson.loads(self._boxes[purpose].decrypt(text + "=" * (-len(text) % 4)))
        except (InvalidToken, ValueError):
            raise forged from None
        return content


def _key_for(secret: bytes, purpose: Purpose) -> bytes:
    """A key of its own for each purpose."""
    return base64.urlsafe_b64encode(hmac.new(secret, f"penstock ticket {purpose.value}".encode(), "sha256").digest())


def _given(file: Path) -> bytes:
    try:
        content = file.read_bytes().strip()
    except OSError as error:
        raise ConfigError([f"server.secret_file: {file} cannot be read: {error.strerror}"]) from error
    if len(content) < SECRET_BYTES:
        raise ConfigError(
            [f"server.secret_file: {file} holds {len(content)} bytes; make one with: openssl rand -hex 32 > {file}"]
        )
    return hashlib.sha256(content).digest()


def _own(state: Path) -> bytes:
    """The secret in the state folder. When that folder takes no file, one for this process alone: tickets then open
    only where they were made, and clients have to ask again."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        return _read_or_make(state / FILE)
    except OSError as error:
        log.error("no signing secret on disk", extra={"folder": str(state), "why": str(error)})
        return secrets.token_bytes(SECRET_BYTES)


def _read_or_make(path: Path) -> bytes:
    with suppress(FileNotFoundError):
        return _kept(path)
    fresh = path.with_name(f"{FILE}.{os.getpid()}.{secrets.token_hex(8)}")
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # two workers start at once: the first link stands, and both read it
            os.link(fresh, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(fresh)
    return _kept(path)


def _kept(path: Path) -> bytes:
    content = path.read_bytes()
    if len(content) < SECRET_BYTES:
        raise OSError(f"{path} holds {len(content)} bytes, which is no secret; remove it and start anew")
    return content
