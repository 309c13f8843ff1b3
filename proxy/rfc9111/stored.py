"""A response that is kept: its head, which requests it is for, and where its body is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from proxy.core.blob import BlobKey, BlobRecord

from .fields import Fields, joined, members

IMPLIED: Final = frozenset({"x-forwarded-proto"})
"""What every response is taken to vary on: an origin that redirects http to https rarely says so, and its redirect
would be given to those who came by https."""


@dataclass(frozen=True, slots=True)
class SmallBody:
    """A body of at most one chunk, one file of the store; of 0 bytes it is nowhere."""

    key: BlobKey
    size: int


NOTHING: Final = SmallBody(BlobKey.sha256(hashlib.sha256(b"").hexdigest()), 0)
"""Of no byte; also of a head whose body is not there yet."""


@dataclass(frozen=True, slots=True)
class LargeBody:
    """A body with a chunk map. `strong`: the record's validator is the origin's own strong one, so that what is missing
    can be asked for by range; else it was made up for this one answer, and nothing else is ever put to it."""

    record: BlobRecord
    strong: bool

    @property
    def size(self) -> int:
        return self.record.size


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A final response to a GET. Times are of the wall clock: when we asked, and when its head was here.

    `fields` are end-to-end, names in lower case, without Content-Length; `selecting` are the request fields that Vary
    names, as `variants.selecting` made them. `invalid`: it may be served no more before the origin has confirmed it."""

    status: int
    fields: Fields
    selecting: Fields
    requested_at: float
    received_at: float
    body: SmallBody | LargeBody
    invalid: bool = False
    ended: float | None = None
    """Since when it counts as stale, whatever it says: it was purged softly then."""

    def field(self, name: str) -> str | None:
        """All lines of `name` (lower case) as one."""
        return joined(self.fields, name)

    @property
    def varies_on(self) -> tuple[str, ...]:
        """The names of the request fields that Vary lists, lower case, each once, sorted, those of `IMPLIED` with them;
        `*` among them as it is."""
        return tuple(sorted({name.lower() for name in members(self.field("vary"))} | IMPLIED))
