from __future__ import annotations

import logging
import traceback

import pytest

from proxy.core.caller import ANONYMOUS, bearer
from proxy.core.secret import Secret

TOKEN = Secret("hf_very_private")


@pytest.mark.parametrize("shown", [str(TOKEN), repr(TOKEN), f"{TOKEN}", f"{TOKEN!r}", f"{[TOKEN]}", "%s" % TOKEN])  # noqa: UP031
def test_a_secret_does_not_show_when_printed(shown: str) -> None:
    assert "very_private" not in shown
    assert "***" in shown


def test_a_secret_does_not_show_in_a_log_or_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError(TOKEN)
    except ValueError:
        text = traceback.format_exc()
        logging.getLogger("any").warning("failed for %s", TOKEN, exc_info=True)
    assert "very_private" not in text
    assert "very_private" not in caplog.text


def test_reveal_gives_the_value() -> None:
    assert TOKEN.reveal() == "hf_very_private"


def test_fingerprints_tell_secrets_apart_under_one_key_only() -> None:
    assert TOKEN.fingerprint(b"k") == Secret("hf_very_private").fingerprint(b"k")
    assert TOKEN.fingerprint(b"k") != Secret("hf_other").fingerprint(b"k")
    assert TOKEN.fingerprint(b"k") != TOKEN.fingerprint(b"another")


def test_callers_are_equal_when_their_tokens_are() -> None:
    assert bearer(TOKEN, b"k") == bearer(Secret("hf_very_private"), b"k")
    assert bearer(TOKEN, b"k") != bearer(Secret("hf_other"), b"k")
    assert bearer(TOKEN, b"k") != ANONYMOUS
    assert len({bearer(TOKEN, b"k"), bearer(TOKEN, b"k"), ANONYMOUS}) == 2


def test_only_the_tokenless_caller_is_anonymous() -> None:
    assert ANONYMOUS.is_anonymous
    assert not bearer(TOKEN, b"k").is_anonymous


def test_a_caller_does_not_show_its_token() -> None:
    assert "very_private" not in repr(bearer(TOKEN, b"k"))
