from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.hub.problems import INVALID_CREDENTIALS, refusal_of

SHA1 = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize("code", ["RepoNotFound", "RevisionNotFound", "EntryNotFound", "GatedRepo", "SomethingNew"])
def test_the_hubs_code_is_passed_on(code: str) -> None:
    assert refusal_of(404, [("x-error-code", code)], b"").code == code


def test_a_missing_file_says_at_which_commit() -> None:
    headers = [("x-error-code", "EntryNotFound"), ("x-repo-commit", SHA1), ("x-error-message", "Entry not found")]
    refusal = refusal_of(404, headers, b"")
    assert (refusal.status, refusal.commit, refusal.message) == (404, SHA1, "Entry not found")


def test_a_commit_that_is_none_is_not_believed() -> None:
    assert refusal_of(404, [("x-repo-commit", "main")], b"").commit is None


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (401, "Invalid username or password.", "RepoNotFound"),
        (404, "Repository not found", "RepoNotFound"),
        (404, "Invalid rev id: nope", "RevisionNotFound"),
        (404, "Entry not found", "EntryNotFound"),
        (401, "Access to model acme/x is restricted. You must have access to it.", "GatedRepo"),
        (403, "Access to model acme/x is restricted and you are not in the authorized list.", "GatedRepo"),
        (401, INVALID_CREDENTIALS, None),
        (403, "Access to this resource is disabled.", None),
        (403, "Some other reason", None),
        (404, "Sorry, we can't find the page you are looking for.", None),
        (400, "Repository not found", None),
    ],
)
def test_a_code_that_was_left_out_is_told_by_the_words_or_not_at_all(
    status: int, message: str, code: str | None
) -> None:
    assert refusal_of(status, [("x-error-message", message)], b"").code == code
    assert refusal_of(status, [], b'{"error":"%s"}' % message.encode()).code == code


def test_the_message_of_the_field_counts_before_the_bodys() -> None:
    assert refusal_of(403, [("x-error-message", "field")], b'{"error":"body"}').message == "field"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":"why"}', "why"),
        (b"", "Forbidden"),
        (b"<html>", "Forbidden"),
        (b'{"error":5}', "Forbidden"),
        (b"[]", "Forbidden"),
    ],
)
def test_there_is_always_a_message(body: bytes, message: str) -> None:
    assert refusal_of(403, [], body).message == message


def test_a_long_message_is_cut() -> None:
    assert refusal_of(403, [("x-error-message", "x" * 5000)], b"").message == "x" * 1000


def test_a_status_without_a_name_has_a_message() -> None:
    assert refusal_of(499, [], b"").message == "the origin answered with status 499"


def test_only_safe_fields_are_passed_on() -> None:
    headers = [
        ("www-authenticate", "Bearer"),
        ("set-cookie", "a=b"),
        ("content-range", "bytes */5"),
        ("x-xet-hash", "h"),
    ]
    assert refusal_of(416, headers, b"").headers == (("content-range", "bytes */5"), ("www-authenticate", "Bearer"))


@given(
    st.integers(400, 499),
    st.lists(st.tuples(st.sampled_from(["x-error-message", "x-error-code"]), st.text())),
    st.binary(),
)
def test_any_answer_is_a_refusal_in_one_short_line(status: int, headers: list[tuple[str, str]], body: bytes) -> None:
    refusal = refusal_of(status, headers, body)
    assert refusal.status == status
    assert 0 < len(refusal.message) <= 1000
    assert not set(refusal.message) & set("\r\n\0")


def test_a_challenge_that_leads_to_the_origin_is_not_passed_back() -> None:
    headers = (("www-authenticate", 'Bearer realm="https://huggingface.co/v2/token"'), ("x-hf-warning", "a; b"))
    assert refusal_of(401, headers, b"").headers == (("x-hf-warning", "a; b"),)
