"""The id that an answer and its line in the access log share."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from typing import Final

_SANE: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_AT_ONCE: Final = 256
"""Ids made of one question to the kernel, which costs more than the rest of it."""


def request_id(offered: str | None) -> str:
    """The client's own id when it is harmless in a log, else a fresh one of 32 hexadecimal digits."""
    return offered if offered is not None and is_sane(offered) else next(FRESH)


def is_sane(offered: str) -> bool:
    """Whether a client's own id is harmless in a log."""
    return _SANE.fullmatch(offered) is not None


def _fresh() -> Iterator[str]:
    while True:
        pool = secrets.token_bytes(16 * _AT_ONCE).hex()
        for start in range(0, len(pool), 32):
            yield pool[start : start + 32]


FRESH: Final = _fresh()
"""Ids without end, each different; for one thread."""
