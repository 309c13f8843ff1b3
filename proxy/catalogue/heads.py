"""The head of a generic origin's response as one value of a row."""

from __future__ import annotations

import json
from typing import Any

import orjson

from proxy.core.blob import BlobKey, BlobRecord
from proxy.rfc9111.fields import Fields
from proxy.rfc9111.stored import LargeBody, SmallBody, StoredResponse


def selecting_text(selecting: Fields) -> str:
    return orjson.dumps(selecting).decode()


def head_of(stored: StoredResponse) -> bytes:
    body: dict[str, Any]
    match stored.body:
        case SmallBody(key, size):
            body = {"key": str(key), "size": size}
        case LargeBody(record, strong):
            body = {"key": str(record.key), "size": record.size, "validator": record.validator, "strong": strong}
    return _json(
        {
            "status": stored.status,
            "fields": stored.fields,
            "selecting": stored.selecting,
            "asked": stored.requested_at,
            "came": stored.received_at,
            "invalid": stored.invalid,
            "ended": stored.ended,
            "body": body,
        }
    )


def _json(head: dict[str, Any]) -> bytes:
    """Fields that are no UTF-8 hold lone surrogates, which orjson neither writes nor reads."""
    try:
        return orjson.dumps(head)
    except TypeError:
        return json.dumps(head).encode("ascii")


def response_of(head: bytes) -> StoredResponse:
    """What `head_of` wrote. Raises ValueError, KeyError, TypeError."""
    try:
        told = orjson.loads(head)
    except ValueError:
        told = json.loads(head)  # it may hold lone surrogates
    body, key = told["body"], BlobKey.parse(told["body"]["key"])
    kept: SmallBody | LargeBody = SmallBody(key, body["size"])
    if "validator" in body:
        kept = LargeBody(BlobRecord(key, body["size"], body["validator"], None), body["strong"])
    return StoredResponse(
        told["status"],
        tuple((name, value) for name, value in told["fields"]),
        tuple((name, value) for name, value in told["selecting"]),
        told["asked"],
        told["came"],
        kept,
        told["invalid"],
        told.get("ended"),
    )
