"""Secrets: values that must not show in a log, a traceback or a metric."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import sha256


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A string that prints as `***`; `reveal()` is the only way to it, so that a reader can find every use."""

    _value: str

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def fingerprint(self, key: bytes) -> bytes:
        """HMAC-SHA256 of the secret under `key`: tells callers apart without knowing them."""
        return hmac.new(key, self._value.encode(), sha256).digest()
