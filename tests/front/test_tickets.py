"""Tickets for single objects: whom they stand for, how long, and for what."""

from __future__ import annotations

import pytest

from proxy.access.signatures import Signatures
from proxy.core.caller import ANONYMOUS, bearer
from proxy.core.clock import ManualClock
from proxy.core.errors import TicketExpired, TicketForged
from proxy.core.secret import Secret
from proxy.front.tickets import LIFETIME, Bearer, Tickets
from proxy.hub.names import Counter, ObjectTarget, RepoId, RepoKind

KEY = b"key"
ANN = bearer(Secret("hf_ann"), KEY)
HEX = "ab" * 32
PLACE = ObjectTarget(RepoId(RepoKind.DATASET, "acme/rain"), HEX, Counter.LFS)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def tickets(clock: ManualClock) -> Tickets:
    return Tickets(Signatures.passing(clock=clock), clock, KEY)


def test_it_stands_for_the_caller_and_the_object(tickets: Tickets) -> None:
    shown = tickets.open(tickets.seal(PLACE, 7, ANN, everybody=False), Counter.LFS, HEX)
    assert shown == Bearer(ANN, PLACE, 7)
    assert shown.caller.token is not None
    assert shown.caller.token.reveal() == "hf_ann"


def test_no_token_travels_where_everybody_may_read(tickets: Tickets) -> None:
    shown = tickets.open(tickets.seal(PLACE, 7, ANN, everybody=True), Counter.LFS, HEX)
    assert shown.caller == ANONYMOUS


def test_it_opens_nothing_else(tickets: Tickets) -> None:
    ticket = tickets.seal(PLACE, 7, ANN, everybody=False)
    with pytest.raises(TicketForged):
        tickets.open(ticket, Counter.LFS, "cd" * 32)
    with pytest.raises(TicketForged):
        tickets.open(ticket, Counter.REGISTRY, HEX)
    with pytest.raises(TicketForged):
        tickets.open(Secret(""), Counter.LFS, HEX)


def test_it_outlasts_the_longest_of_pulls(tickets: Tickets, clock: ManualClock) -> None:
    """A client of the registry asks for an address once: 100 GB at 20 MB/s take 80 minutes."""
    ticket = tickets.seal(PLACE, 100_000_000_000, ANN, everybody=False)
    clock.advance(80 * 60)
    assert tickets.open(ticket, Counter.LFS, HEX).caller == ANN


def test_it_ends(tickets: Tickets, clock: ManualClock) -> None:
    ticket = tickets.seal(PLACE, 7, ANN, everybody=False)
    clock.advance(LIFETIME - 1)
    tickets.open(ticket, Counter.LFS, HEX)
    clock.advance(1)
    with pytest.raises(TicketExpired):
        tickets.open(ticket, Counter.LFS, HEX)
