"""What nodes leave for one another in Redis is sealed with the secret of the cluster.

Redis is a place where anybody who gets at it may write. A wrong lease costs a second download; a wrong fact would be a
wrong file. So a value that is believed carries an HMAC-SHA256 over its name and itself, and names are HMACs too: they
tell nothing of a repo. An old value may be put back under its own name; what ages says itself when it was written.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final

MAC: Final = 16
"""Bytes of a seal."""


class Seal:
    """Seals and names under a key made of the cluster's secret."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.new(secret, b"penstock shared knowledge", sha256).digest()

    def name(self, *parts: str) -> str:
        """A name for `parts`, the same on all nodes: 32 hexadecimal digits."""
        return self._mac(*(part.encode() for part in parts)).hex()

    def closed(self, name: str, content: bytes) -> bytes:
        """`content`, sealed for the place `name`."""
        return self._mac(name.encode(), content) + content

    def opened(self, name: str, sealed: object) -> bytes | None:
        """The content, if it was sealed for `name` by one who knows the secret."""
        if not isinstance(sealed, bytes):
            return None
        mac, content = sealed[:MAC], sealed[MAC:]
        return content if hmac.compare_digest(mac, self._mac(name.encode(), content)) else None

    def _mac(self, *parts: bytes) -> bytes:
        # with their lengths: ("a", "bc") is not ("ab", "c")
        told = b"".join(len(part).to_bytes(8) + part for part in parts)
        return hmac.new(self._key, told, sha256).digest()[:MAC]
