"""Who is there: leaving by word is quick, leaving by silence is slow, and coming and going is damped."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cluster.members import Member, MemberState
from proxy.cluster.roster import ASIDE_FOR, LEAVING_FOR, LONGEST_WAIT, MOST, STEADY, Roster, Said, mark_of
from proxy.core.clock import ManualClock

SILENCE = 5.0
REST = 3.0
A, B, C = (Member(name, f"http://{name}:8080", 10, boot="1") for name in "abc")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def roster_of(clock: ManualClock, *peers: Member) -> Roster:
    return Roster(A, peers, silence=SILENCE, rest=REST, clock=clock)


@pytest.fixture
def roster(clock: ManualClock) -> Roster:
    return roster_of(clock)


def said(*members: Member, gone: tuple[Member, ...] = ()) -> Said:
    return Said(members, frozenset(member.url for member in gone))


def test_alone_we_are_the_fleet(roster: Roster) -> None:
    assert roster.members() == (A,)


def test_who_joins_counts_at_once(roster: Roster) -> None:
    roster.heard(said(A, B))
    roster.heard(said(A, B, C))
    assert roster.members() == (A, B, C)


def test_who_says_goodbye_is_gone_at_once(roster: Roster) -> None:
    roster.heard(said(A, B))
    roster.heard(said(A, gone=(B,)))
    assert roster.members() == (A,)


def test_who_falls_silent_stays_for_a_while(roster: Roster, clock: ManualClock) -> None:
    roster.heard(said(A, B))
    roster.heard(said(A))
    clock.advance(SILENCE - 0.1)
    roster.heard(said(A))
    assert roster.members() == (A, B)
    clock.advance(0.1)
    roster.heard(said(A))
    assert roster.members() == (A,)


def test_who_fell_silent_is_missed_until_it_is_back_and_who_said_goodbye_is_not(
    roster: Roster, clock: ManualClock
) -> None:
    roster.heard(said(A, B, C))
    roster.heard(said(A, gone=(C,)))
    assert roster.missed() == ()
    clock.advance(SILENCE)
    roster.heard(said(A))
    assert roster.missed() == (B,)
    roster.heard(said(A, B))
    assert roster.missed() == ()


def test_a_redis_that_lost_its_memory_or_whose_clock_jumped_moves_nobody(roster: Roster, clock: ManualClock) -> None:
    roster.heard(said(A, B, C))
    roster.heard(said(A))
    clock.advance(1)
    roster.heard(said(A, C))
    clock.advance(1)
    roster.heard(said(A, B, C))
    assert roster.members() == (A, B, C)


def test_while_redis_is_silent_nobody_leaves(roster: Roster, clock: ManualClock) -> None:
    roster.heard(said(A, B))
    for _ in range(100):
        clock.advance(SILENCE)
        roster.silent()
    assert roster.members() == (A, B)


def test_the_first_word_after_a_silence_drops_nobody(roster: Roster, clock: ManualClock) -> None:
    """Redis came back empty, and we are the first to be heard."""
    roster.heard(said(A, B))
    clock.advance(1)
    roster.heard(said(A))
    roster.silent()
    clock.advance(100)
    roster.heard(said(A))
    assert roster.members() == (A, B)


def test_after_a_silence_of_redis_nodes_may_rest_before_they_are_missed(roster: Roster, clock: ManualClock) -> None:
    """Each gives Redis a rest of its own: the first to be back must not take the others for gone."""
    roster.heard(said(A, B))
    roster.silent()
    clock.advance(100)
    for _ in range(2):
        roster.heard(said(A))
        clock.advance((REST + SILENCE - 0.1) / 2)
    roster.heard(said(A))
    assert roster.members() == (A, B)
    clock.advance(0.2)
    roster.heard(said(A))
    assert roster.members() == (A,)


def test_peers_of_the_configuration_count_while_redis_is_silent(clock: ManualClock) -> None:
    roster = roster_of(clock, B)
    assert roster.members() == (A, B)
    roster.heard(said(A, C))
    assert roster.members() == (A, C)
    roster.silent()
    assert roster.members() == (A, B, C)


def test_a_peer_is_one_whether_listed_or_heard_of(clock: ManualClock) -> None:
    listed = Member("b:8080", B.url, A.weight)
    roster = roster_of(clock, listed)
    assert roster.members() == (A, listed)
    roster.heard(said(A, B))
    roster.silent()
    assert roster.members() == (A, B)


def test_a_restart_is_seen_and_costs_no_wait(roster: Roster) -> None:
    again = Member(B.name, B.url, B.weight, boot="2")
    roster.heard(said(A, B))
    roster.heard(said(A, again))
    assert roster.members() == (A, again)


def lost_and_back(roster: Roster, clock: ManualClock) -> None:
    roster.heard(said(A))
    clock.advance(SILENCE)
    roster.heard(said(A))
    assert B not in roster.members()
    clock.advance(1)
    roster.heard(said(A, B))


def waits(roster: Roster, clock: ManualClock) -> float:
    """Seconds of presence until B counts again."""
    waited = 0.0
    while B not in roster.members():
        clock.advance(1)
        waited += 1
        roster.heard(said(A, B))
    return waited


def test_who_comes_and_goes_waits_longer_each_time(roster: Roster, clock: ManualClock) -> None:
    roster.heard(said(A, B))
    found = []
    for _ in range(7):
        lost_and_back(roster, clock)
        found.append(waits(roster, clock))
    assert found == [0, 5, 10, 20, 40, LONGEST_WAIT, LONGEST_WAIT]


def test_a_steady_time_makes_up_for_the_past(roster: Roster, clock: ManualClock) -> None:
    roster.heard(said(A, B))
    for _ in range(4):
        lost_and_back(roster, clock)
        waits(roster, clock)
    clock.advance(STEADY)
    roster.heard(said(A, B))
    lost_and_back(roster, clock)
    assert waits(roster, clock) == 0


def test_who_waits_and_says_goodbye_is_forgotten(roster: Roster, clock: ManualClock) -> None:
    roster.heard(said(A, B))
    for _ in range(3):
        lost_and_back(roster, clock)
    roster.heard(said(A, gone=(B,)))
    roster.heard(said(A, B))
    assert roster.members() == (A, B)


def test_the_long_gone_are_forgotten(roster: Roster, clock: ManualClock) -> None:
    roster.heard(said(A, B))
    roster.heard(said(A))
    clock.advance(STEADY)
    roster.heard(said(A))
    assert roster._known == {}


def test_we_drain_by_our_own_word(roster: Roster) -> None:
    roster.we_drain()
    roster.heard(said(A))
    assert [member.state for member in roster.members()] == [MemberState.DRAINING]


def left_out_by(*who: Member) -> Said:
    """Everybody is there, and `who` cannot reach us."""
    return Said((A, B, C), left_out=tuple((one.url, mark_of(A.url)) for one in who))


def test_who_is_left_out_by_most_of_the_others_stands_aside_for_a_while(roster: Roster, clock: ManualClock) -> None:
    roster.heard(left_out_by(B, C))
    assert roster.members() == (replace(A, state=MemberState.ASIDE), B, C)
    roster.heard(said(A, B, C))
    clock.advance(ASIDE_FOR - 0.1)
    assert roster.us.state is MemberState.ASIDE, "who left us out may try us again too soon"
    clock.advance(0.1)
    assert roster.members() == (A, B, C)


def test_who_is_left_out_by_some_stays(roster: Roster) -> None:
    """It may be they who have lost their way."""
    roster.heard(left_out_by(B))
    assert roster.us == A
    roster.heard(Said((A, B, C), left_out=((B.url, mark_of(C.url)), (C.url, mark_of(B.url)))))
    assert roster.us == A


def test_the_word_of_a_node_that_is_gone_or_of_a_stranger_does_not_count(roster: Roster) -> None:
    roster.heard(left_out_by(B, C))
    roster.heard(said(A, B, gone=(C,)))
    assert roster.us.state is MemberState.ASIDE, "of two, one that cannot reach us is most of the others"
    roster.heard(said(A, gone=(B,)))
    assert roster.us == A
    roster.heard(Said((A, B, C), left_out=tuple((f"http://{n}", mark_of(A.url)) for n in range(9))))
    assert roster.us == A


def test_who_drains_does_not_come_back_by_standing_aside(roster: Roster) -> None:
    roster.we_drain()
    roster.heard(left_out_by(B, C))
    assert roster.us.state is MemberState.DRAINING


def test_who_says_it_leaves_is_believed_for_a_while(clock: ManualClock) -> None:
    """Without a register nobody else says so, and nobody says that it is back."""
    roster = roster_of(clock, B, C)
    roster.is_leaving(B)
    assert roster.members() == (A, replace(B, state=MemberState.DRAINING), C)
    clock.advance(LEAVING_FOR)
    assert roster.members() == (A, B, C)


def test_another_life_of_who_said_it_leaves_is_no_leaver(roster: Roster) -> None:
    roster.heard(said(A, B))
    roster.is_leaving(B)
    roster.heard(said(A, B))  # the register has not heard of it
    assert roster.members() == (A, replace(B, state=MemberState.DRAINING))
    reborn = replace(B, boot="2")
    roster.heard(said(A, reborn))
    assert roster.members() == (A, reborn)


def test_two_nodes_of_one_name_are_told_apart_by_their_addresses(roster: Roster) -> None:
    also_a, also_b = Member("a", "http://x:1", 10), Member("b", "http://y:1", 10)
    roster.heard(said(A, B, also_a, also_b))
    assert [member.name for member in roster.members()] == ["a", "b", "x:1", "y:1"]


def test_a_register_full_of_lies_is_looked_at_in_part(roster: Roster) -> None:
    roster.heard(said(*(Member(f"n{number}", f"http://n{number}", 1) for number in range(3 * MOST))))
    assert len(roster.members()) == 1 + MOST


histories = st.lists(
    st.tuples(st.sets(st.sampled_from([B, C])), st.booleans(), st.sampled_from([0.5, 1.0, 6.0])), max_size=30
)


@given(histories)
def test_whatever_the_register_says_we_are_in_and_names_are_sorted_and_unique(
    history: list[tuple[set[Member], bool, float]],
) -> None:
    clock = ManualClock()
    roster = roster_of(clock, C)
    for present, answers, seconds in history:
        if answers:
            roster.heard(said(A, *present))
        else:
            roster.silent()
        clock.advance(seconds)
        names = [member.name for member in roster.members()]
        assert names == sorted(set(names))
        assert "a" in names
