"""What nodes leave for one another in Redis is sealed with the secret of the cluster: AES-SIV (RFC 5297).

Redis is a place where anybody who gets at it may read and write. A wrong lease costs a second download; a wrong fact
would be a wrong file. So a value that is believed is enciphered and authenticated together with its name, and names are
HMACs: neither tells anything of a repo. An old value may be put back under its own name; what ages says itself when it
was written. The same value under the same name looks the same, which is all that can be seen.
"""

from __future__ import annotations

import hmac
from hashlib import sha256, sha512
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

MARK: Final = b"1"
"""How it is sealed; it comes before the content, so that this is never empty."""
SEALED: Final = 16 + len(MARK)
"""Bytes that a seal adds."""
NAME: Final = 16
"""Bytes of a name."""


class Seal:
    """Seals and names under keys made of the cluster's secret."""

    def __init__(self, secret: bytes) -> None:
        self._names = hmac.new(secret, b"penstock shared knowledge", sha256).digest()
        self._cipher = AESSIV(hmac.new(secret, b"penstock shared knowledge, sealed", sha512).digest())

    def name(self, *parts: str) -> str:
        """A name for `parts`, the same on all nodes: 32 hexadecimal digits."""
        # with their lengths: ("a", "bc") is not ("ab", "c")
        told = b"".join(len(part.encode()).to_bytes(8) + part.encode() for part in parts)
        return hmac.new(self._names, told, sha256).digest()[:NAME].hex()

    def closed(self, name: str, content: bytes) -> bytes:
        """`content`, sealed for the place `name`."""
        return self._cipher.encrypt(MARK + content, [name.encode()])

    def opened(self, name: str, sealed: object) -> bytes | None:
        """The content, if it was sealed for `name` by one who knows the secret."""
        if not isinstance(sealed, bytes) or len(sealed) < SEALED:
            return None
        try:
            content = self._cipher.decrypt(sealed, [name.encode()])
        except InvalidTag:
            return None
        return content.removeprefix(MARK) if content.startswith(MARK) else None
