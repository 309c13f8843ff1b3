"""The batch question of git-lfs: what is read of it, what is asked, and what is told."""

from __future__ import annotations

import orjson
import pytest

from proxy.core.errors import OriginLied, RequestRefused, WritesRefused
from proxy.hub.lfs_batch import (
    MOST_OBJECTS,
    LfsMissing,
    LfsOffer,
    LfsPointer,
    answer,
    question,
    read_answer,
    read_question,
)

OID = "ab" * 32
ONE = LfsPointer(OID, 7)


def asked(**other: object) -> bytes:
    return orjson.dumps({"operation": "download", "objects": [{"oid": OID, "size": 7}], **other})


def test_what_we_ask_is_what_we_understand() -> None:
    assert read_question(question([ONE])) == (ONE,)


def test_other_transfers_are_offered_in_vain() -> None:
    assert read_question(asked(transfers=["xet", "ssh", "basic"], ref={"name": "refs/heads/main"})) == (ONE,)


def test_an_upload_is_a_write() -> None:
    with pytest.raises(WritesRefused):
        read_question(asked(operation="upload"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        asked(operation="verify"),
        asked(hash_algo="sha1"),
        asked(objects=[{"oid": "../etc/passwd", "size": 1}]),
        asked(objects=[{"oid": OID.upper(), "size": 1}]),
        asked(objects=[{"oid": OID, "size": -1}]),
        asked(objects=[{"oid": OID, "size": True}]),
        asked(objects=[{"oid": OID, "size": 1 << 60}]),
        asked(objects=[OID]),
        asked(objects=[{"oid": OID, "size": 1}] * (MOST_OBJECTS + 1)),
    ],
)
def test_what_is_no_batch_is_refused(body: bytes) -> None:
    with pytest.raises(RequestRefused):
        read_question(body)


def test_the_origin_s_answer_by_object() -> None:
    other = "cd" * 32
    body = orjson.dumps(
        {
            "objects": [
                {"oid": OID, "size": 7, "actions": {"download": {"href": "https://cdn.example/x?sig=1"}}},
                {"oid": other, "size": 7, "error": {"code": 404, "message": "Object does not exist"}},
                {"oid": "ef" * 32, "size": 7},
            ]
        }
    )
    found = read_answer(body)
    assert found[OID] == LfsOffer("https://cdn.example/x?sig=1", 7)
    assert found[other] == LfsMissing(404, "Object does not exist")
    assert isinstance(found["ef" * 32], LfsMissing)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"objects": [1]}', b'{"objects": [{"oid": "x", "error": {}}]}'])
def test_an_answer_that_cannot_be_read_is_a_lie(body: bytes) -> None:
    with pytest.raises(OriginLied):
        read_answer(body)


def test_the_address_is_the_whole_credential() -> None:
    """git-lfs sends no Authorization to an address that is announced as authenticated (HUB-PROTOCOL §5.1)."""
    told = orjson.loads(answer([(ONE, "http://mirror/__lfs/x?t=y"), (ONE, LfsMissing(404, "gone"))], 900))
    first, second = told["objects"]
    assert told["transfer"] == "basic"
    assert first["authenticated"] is True
    assert first["actions"] == {"download": {"href": "http://mirror/__lfs/x?t=y", "expires_in": 900}}
    assert second["error"] == {"code": 404, "message": "gone"}
