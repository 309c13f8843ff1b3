"""Event lines: readable, parsable, without secrets."""

from __future__ import annotations

import json
import logging
import os
import sys

import pytest

from proxy.telemetry.events import event_log, line_of


def event(text: str = "disk failed", level: int = logging.WARNING, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("proxy.store", level, __file__, 1, text, (), None)
    vars(made).update(fields)
    return made


def test_a_text_line_has_severity_event_and_fields() -> None:
    line = line_of(event(disk="/a", left=3), "text", 1).decode()
    assert line.endswith("warning [1] disk failed disk=/a left=3\n")


def test_a_json_line_has_the_fields_by_name() -> None:
    found = json.loads(line_of(event(disk="/a"), "json", 2))
    assert (found["level"], found["event"], found["disk"], found["worker"]) == ("warning", "disk failed", "/a", 2)


SECRETS = [
    "hf_AbCdEfGhIjKl1234",
    "Authorization: Bearer sEcReTsEcReT",
    "https://user:sEcReTsEcReT@hub/path",
    "https://cdn/x?X-Amz-Signature=sEcReTsEcReT&X-Amz-Date=1",
    "https://cdn/x?a=1&Signature=sEcReTsEcReT",
    'quoted "https://cdn/x?sig=sEcReTsEcReT" and on',
]


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_hidden_in_text_fields_and_tracebacks(secret: str, form: str) -> None:
    try:
        raise ValueError(f"failed at {secret}")
    except ValueError:
        trace = sys.exc_info()
    made = event(f"asked {secret}", url=secret)
    made.exc_info = trace
    line = line_of(made, form, None)  # type: ignore[arg-type]
    assert b"sEcReT" not in line
    assert b"AbCdEfGhIjKl" not in line
    assert b"ValueError" in line
    if form == "json":
        json.loads(line)


def test_words_that_are_no_utf_8_are_written_all_the_same() -> None:
    try:
        raise ValueError("no such file: \udcff\x1b hf_AbCdEfGhIjKl1234")
    except ValueError:
        trace = sys.exc_info()
    made = event("failed")
    made.exc_info = trace
    found = json.loads(line_of(made, "json", None))
    assert "no such file: \\udcff\\x1b hf_***" in found["traceback"]
    assert found["traceback"].startswith("Traceback (most recent call last):\n")


def test_a_line_break_in_a_field_makes_no_second_line() -> None:
    assert line_of(event(path="a\nforged line"), "text", None).count(b"\n") == 1


def test_events_reach_the_descriptor_before_the_log_is_left() -> None:
    reading, writing = os.pipe()
    with event_log("info", "text", fd=writing):
        logging.getLogger("proxy.test").info("served", extra={"port": 8080})
        logging.getLogger("proxy.test").debug("not this")
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read().endswith(b"served port=8080\n")


def test_the_level_is_given_back() -> None:
    before = logging.getLogger().level
    with event_log("debug", "text", fd=2):
        assert logging.getLogger().level == logging.DEBUG
    assert logging.getLogger().level == before
