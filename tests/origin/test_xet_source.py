"""What the origin says about access to its Xet store, and what is remembered of a refusal."""

from __future__ import annotations

import orjson
import pytest

from proxy.core.clock import ManualClock
from proxy.core.errors import OriginLied, OriginRefused, OriginUnreachable
from proxy.origin.head import Head
from proxy.origin.xet_source import REMEMBERED, PlainRefusals, no_access, read_access

SAID = {"casUrl": "https://cas-server.xethub.hf.co", "accessToken": "xet_secret", "exp": 1_700_000_000}


def test_an_access_token_is_read_and_never_shown() -> None:
    access = read_access(orjson.dumps({**SAID, "casUrl": "https://cas.hf.co/"}))
    assert (access.url, access.token.reveal(), access.until) == ("https://cas.hf.co", "xet_secret", 1_700_000_000.0)
    assert "xet_secret" not in repr(access)


@pytest.mark.parametrize("name", SAID)
@pytest.mark.parametrize("wrong", [None, [], "\n"])
def test_anything_else_is_a_lie(name: str, wrong: object) -> None:
    without = {key: value for key, value in SAID.items() if key != name}
    bodies = [orjson.dumps(without), orjson.dumps({**SAID, name: wrong if name != "casUrl" or wrong != "\n" else 7})]
    for body in bodies:
        with pytest.raises(OriginLied):
            read_access(body)


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'"text"', b"null"])
def test_a_body_of_another_kind_is_a_lie(body: bytes) -> None:
    with pytest.raises(OriginLied):
        read_access(body)


@pytest.mark.parametrize(
    ("status", "fields", "kind"),
    [
        (401, [], OriginRefused),
        (403, [], OriginRefused),
        (404, [("X-Error-Code", "RepoNotFound")], OriginRefused),
        (404, [], OriginUnreachable),
        (405, [], OriginUnreachable),
        (307, [], OriginUnreachable),
    ],
)
def test_a_bare_404_of_the_token_is_no_absence_of_the_file(
    status: int, fields: list[tuple[str, str]], kind: type[Exception]
) -> None:
    """Clients would remember that the file is not there (HUB-PROTOCOL §6.24)."""
    assert type(no_access(Head.of(status, fields), b"")) is kind


def test_a_refusal_is_remembered_for_a_while() -> None:
    clock = ManualClock()
    refusals = PlainRefusals(clock)
    assert not refusals.stands("5a" * 32)
    refusals.note("5a" * 32)
    clock.advance(REMEMBERED - 1)
    assert refusals.stands("5a" * 32)
    assert not refusals.stands("5b" * 32)
    clock.advance(2)
    assert not refusals.stands("5a" * 32)
