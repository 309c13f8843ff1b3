"""What the access log says, and what it must never say."""

from __future__ import annotations

import json
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.telemetry.accesslog import AccessRecord, agent_fields, named, open_access_log, rendered
from proxy.telemetry.redaction import clean, printable, redacted

SECRET = b"s" * 32
DAY = 86_400.0


def record(**values: object) -> AccessRecord:
    fields = {
        "at": 1_700_000_000.0,
        "request_id": "r-1",
        "client": "192.0.2.77",
        "method": "GET",
        "host": "mirror:8080",
        "route": "resolve",
        "path": "/org/model/resolve/main/model.safetensors",
        "status": 206,
        "size": 1024,
        "cache": "hit",
        "source": "disk",
        "first_byte": 0.0015,
        "duration": 0.25,
        "agent": "hf_hub/2.4.0; python/3.11.7; torch/2.9",
    }
    return AccessRecord(**{**fields, **values})  # type: ignore[arg-type]


def line(**values: object) -> dict[str, object]:
    return dict(json.loads(rendered(record(**values), "pseudonym", SECRET)))


def test_a_line_has_what_an_operator_asks_for() -> None:
    found = line(repo="org/model", revision="main", range="bytes=0-1023")
    assert found["status"] == 206
    assert found["bytes"] == 1024
    assert found["ttfb_ms"] == 1.5
    assert found["dur_ms"] == 250
    assert found["ua"] == {"hf_hub": "2.4.0", "python": "3.11.7", "torch": "2.9"}
    assert found["ts"] == "2023-11-14T22:13:20.000+00:00"
    assert "err" not in found


@pytest.mark.parametrize(
    "path",
    [
        "/x?X-Amz-Signature=deadbeef",
        "/x?Policy=abc&Signature=deadbeef&Key-Pair-Id=K",
        "/x/hf_deadbeefdeadbeef/y",
    ],
)
def test_queries_and_tokens_are_never_written(path: str) -> None:
    assert b"deadbeef" not in rendered(record(path=path, error=f"cannot read https://cdn{path}"), "pseudonym", SECRET)


def test_a_token_in_any_text_field_is_hidden() -> None:
    token = "hf_AbCdEfGhIjKlMnOp"
    fields = ("request_id", "path", "agent", "error", "host", "range", "repo", "revision")
    for field in fields:
        assert token.encode() not in rendered(record(**{field: token}), "pseudonym", SECRET), field


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_makes_one_line_of_valid_json(path: str, agent: str) -> None:
    written = rendered(record(path=path, agent=agent, error=path), "full", SECRET)
    assert written.count(b"\n") == 1
    assert not any(byte < 0x20 or byte == 0x7F for byte in written[:-1])
    orjson.loads(written)


def test_an_odd_raw_path_is_written_escaped() -> None:
    assert line(path="/a\x1b[31m\udcff\n")["path"] == "/a\\x1b[31m\\udcff\\x0a"


def test_pseudonyms_tell_clients_apart_for_a_day() -> None:
    one = named("192.0.2.1", "pseudonym", SECRET, 0.0)
    assert one == named("192.0.2.1", "pseudonym", SECRET, DAY - 1)
    assert one != named("192.0.2.2", "pseudonym", SECRET, 0.0)
    assert one != named("192.0.2.1", "pseudonym", SECRET, DAY)
    assert one != named("192.0.2.1", "pseudonym", b"another node", 0.0)
    assert "192" not in one


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
        ("not an address", ""),
    ],
)
def test_networks(address: str, network: str) -> None:
    assert named(address, "network", SECRET, 0.0) == network


def test_a_client_that_shall_not_be_named_is_not() -> None:
    assert "client" not in json.loads(rendered(record(), "none", SECRET))


def test_a_long_agent_costs_at_most_eight_products() -> None:
    assert len(agent_fields(" ".join(f"lib{number}/1" for number in range(50)))) == 8


def test_lines_arrive_in_the_file(tmp_path: Path) -> None:
    log = open_access_log(str(tmp_path / "access.jsonl"), "pseudonym", SECRET, lambda count: None)
    for number in range(100):
        log.write(record(status=number))
    log.close()
    lines = (tmp_path / "access.jsonl").read_text().splitlines()
    assert [json.loads(line)["status"] for line in lines] == list(range(100))


def test_an_empty_target_is_no_log() -> None:
    log = open_access_log("", "pseudonym", SECRET, lambda count: pytest.fail("nothing can be lost"))
    log.write(record())
    log.reopen()
    log.close()


@given(st.text(st.sampled_from("abhfHF019_./:-@?&=%+ \n"), max_size=80), st.integers(1, 60))
def test_what_is_harmless_or_was_said_before_is_cleaned_like_anything_else(text: str, limit: int) -> None:
    whole = redacted(printable(text[: limit * 4]))
    expected = whole if len(whole) <= limit else f"{whole[:limit]}…"
    assert clean(text, limit) == clean(text, limit) == expected


def test_a_pseudonym_changes_with_the_day_the_address_and_the_secret() -> None:
    cases = [("a", b"s", 1.0), ("b", b"s", 1.0), ("a", b"t", 1.0), ("a", b"s", DAY + 1.0)]
    names = [named(address, "pseudonym", secret, at) for address, secret, at in cases]
    assert len(set(names)) == len(cases)
    assert named("a", "pseudonym", b"s", DAY - 1.0) == names[0]
