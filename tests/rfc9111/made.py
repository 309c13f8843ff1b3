"""Responses made for tests."""

from __future__ import annotations

from proxy.core.blob import BlobKey
from proxy.rfc9111.fields import Fields
from proxy.rfc9111.stored import SmallBody, StoredResponse

NOW = 1_700_000_000
EMPTY = SmallBody(BlobKey.sha256("0" * 64), 0)


def kept(
    fields: Fields = (), *, status: int = 200, selecting: Fields = (), took: float = 0, at: float = NOW
) -> StoredResponse:
    """One that came at `at`, `took` seconds after it was asked for."""
    return StoredResponse(status, fields, selecting, at - took, at, EMPTY)
