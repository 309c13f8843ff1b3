"""Tickets open where they were made for, for a while, and nothing else does."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access.signatures import FILE, LONGEST, Purpose, Signatures
from proxy.core.clock import ManualClock
from proxy.core.errors import ConfigError, TicketExpired, TicketForged
from proxy.core.secret import Secret

CLAIMS = {"repo": "models/acme/tiny", "size": 5}
TOKEN = Secret("hf_of_a_member")


def signatures(clock: ManualClock | None = None) -> Signatures:
    return Signatures(b"s" * 32, clock=clock or ManualClock(now=1000.0))


def test_a_ticket_says_what_was_put_into_it() -> None:
    ours = signatures()
    ticket = ours.read(Purpose.XORB, Secret(ours.seal(Purpose.XORB, CLAIMS, until=1060.0, token=TOKEN)))
    assert (ticket.claims, ticket.until, ticket.token) == (CLAIMS, 1060.0, TOKEN)


def test_a_ticket_expires() -> None:
    clock = ManualClock(now=1000.0)
    ours = signatures(clock)
    ticket = Secret(ours.seal(Purpose.XET, CLAIMS, until=1060.0))
    clock.advance(60.0)
    with pytest.raises(TicketExpired):
        ours.read(Purpose.XET, ticket)


@pytest.mark.parametrize("purpose", Purpose)
def test_no_ticket_lives_longer_than_the_longest(purpose: Purpose) -> None:
    ours = signatures()
    assert ours.read(purpose, Secret(ours.seal(purpose, CLAIMS, until=1e12))).until == 1000.0 + LONGEST[purpose]


def test_a_ticket_opens_one_thing_only() -> None:
    ours = signatures()
    ticket = Secret(ours.seal(Purpose.XET, CLAIMS, until=1060.0))
    with pytest.raises(TicketForged):
        ours.read(Purpose.XORB, ticket)


def test_a_ticket_of_another_node_is_none() -> None:
    other = Signatures(b"o" * 32, clock=ManualClock(now=1000.0))
    with pytest.raises(TicketForged):
        signatures().read(Purpose.XET, Secret(other.seal(Purpose.XET, CLAIMS, until=1060.0)))


@given(at=st.integers(0, 10_000), bit=st.integers(0, 5))
def test_a_changed_ticket_is_none(at: int, bit: int) -> None:
    ours = signatures()
    text = ours.seal(Purpose.XET, CLAIMS, until=1060.0)
    at %= len(text) - 1  # the last character may hold bits that mean nothing
    changed = text[:at] + chr(ord(text[at]) ^ (1 << bit)) + text[at + 1 :]
    with pytest.raises(TicketForged):
        ours.read(Purpose.XET, Secret(changed))


@pytest.mark.parametrize("text", ["", "x", "ü", "=" * 4, "A" * 100_000, "gAAAA"])
def test_what_is_no_ticket_is_refused(text: str) -> None:
    with pytest.raises(TicketForged):
        signatures().read(Purpose.XET, Secret(text))


def test_neither_the_token_nor_the_claims_can_be_read_off_a_ticket() -> None:
    ours = signatures()
    first, second = (ours.seal(Purpose.XORB, CLAIMS, until=1060.0, token=TOKEN) for _ in range(2))
    assert first != second
    assert TOKEN.reveal() not in first


def test_a_ticket_needs_no_quoting_in_a_url() -> None:
    text = signatures().seal(Purpose.XET, CLAIMS, until=1060.0)
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_workers_of_a_node_share_a_secret_that_outlives_them(tmp_path: Path) -> None:
    clock = ManualClock(now=1000.0)
    first, second = (Signatures.open(tmp_path / "state", clock=clock) for _ in range(2))
    assert second.read(Purpose.LFS, Secret(first.seal(Purpose.LFS, CLAIMS, until=1060.0))).claims == CLAIMS
    file = tmp_path / "state" / FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_nodes_with_one_secret_file_open_each_other_s_tickets(tmp_path: Path) -> None:
    clock = ManualClock(now=1000.0)
    given_file = tmp_path / "secret"
    given_file.write_text("0123456789abcdef" * 4 + "\n")
    first, second = (Signatures.open(tmp_path / name, clock=clock, file=given_file) for name in "ab")
    assert second.read(Purpose.OCI, Secret(first.seal(Purpose.OCI, CLAIMS, until=1060.0))).claims == CLAIMS


def test_a_secret_file_that_is_too_short_or_missing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("hunter2")
    for name in ("short", "missing"):
        with pytest.raises(ConfigError, match=r"server\.secret_file"):
            Signatures.open(tmp_path, clock=ManualClock(), file=tmp_path / name)


def test_a_state_folder_that_takes_no_file_does_not_stop_the_node(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    ours = Signatures.open(tmp_path / "state", clock=ManualClock(now=1000.0))
    assert ours.read(Purpose.XET, Secret(ours.seal(Purpose.XET, CLAIMS, until=1060.0))).claims == CLAIMS
