"""Who asks: an anonymous client, or the bearer of a token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .secret import Secret


@dataclass(frozen=True, slots=True)
class Caller:
    """The one who asks. Two callers are equal when their `identity` is.

    `identity` is HMAC(token) under a key of this process (empty for anonymous): safe as a dictionary key, useless
    to anybody else. The token itself goes to the configured origin and nowhere else.
    """

    identity: bytes
    token: Secret | None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Caller) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    @property
    def is_anonymous(self) -> bool:
        return self.token is None


ANONYMOUS: Final = Caller(b"", None)


def bearer(token: Secret, key: bytes) -> Caller:
    """The caller who holds `token`; `key` is this process' own random key."""
    return Caller(token.fingerprint(key), token)
