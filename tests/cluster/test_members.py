"""A view: who owns what, who takes over, what the difference of two is."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cluster.members import Difference, Member, MemberState, View, difference
from proxy.core.blob import BlobKey

KEY = BlobKey.sha256("7a" * 32)
UP, ASIDE, DRAINING = MemberState


def member(number: int, weight: int = 1, state: MemberState = UP, boot: str = "1") -> Member:
    return Member(f"n{number:02}", f"http://n{number:02}:8080", weight, state, boot)


def view(*members: Member, us: str = "n00", ejected: tuple[str, ...] = ()) -> View:
    return View(1, members, us, frozenset(ejected))


fleets = st.lists(st.tuples(st.integers(1, 1 << 44), st.sampled_from(MemberState)), min_size=1, max_size=12).map(
    lambda given: tuple(member(number, weight, state) for number, (weight, state) in enumerate(given))
)
indexes = st.integers(0, 10_000)


def names(members: tuple[Member, ...]) -> list[str]:
    return [one.name for one in members]


@given(fleets, indexes)
def test_ranked_names_everybody_once_those_that_are_up_before_those_that_stand_aside_or_drain(
    fleet: tuple[Member, ...], index: int
) -> None:
    ranked = view(*fleet).ranked(KEY, index)
    assert sorted(names(ranked)) == names(fleet)
    states = [one.state for one in ranked]
    assert states == sorted(states, key=list(MemberState).index)


@given(fleets, indexes, st.integers(0, 11))
def test_every_member_sees_the_same_order(fleet: tuple[Member, ...], index: int, other: int) -> None:
    assert view(*fleet).ranked(KEY, index) == view(*fleet, us=fleet[other % len(fleet)].name).ranked(KEY, index)


@given(fleets, indexes, st.integers(1, 1 << 44))
def test_a_member_that_joins_takes_only_what_it_wins(fleet: tuple[Member, ...], index: int, weight: int) -> None:
    joined = member(50, weight)
    before, after = view(*fleet).ranked(KEY, index), view(*fleet, joined).ranked(KEY, index)
    assert tuple(one for one in after if one != joined) == before


@given(fleets, indexes, st.integers(0, 11))
def test_a_member_that_drains_hands_over_only_what_it_owned(fleet: tuple[Member, ...], index: int, which: int) -> None:
    fleet = tuple(replace(one, state=UP) for one in fleet)
    leaving = fleet[which % len(fleet)]
    left = tuple(replace(one, state=DRAINING) if one == leaving else one for one in fleet)
    before, after = names(view(*fleet).ranked(KEY, index)), names(view(*left).ranked(KEY, index))
    assert [name for name in before if name != leaving.name] == [name for name in after if name != leaving.name]
    assert after[-1] == leaving.name


@given(fleets, indexes, st.integers(0, 11))
def test_who_stands_aside_comes_after_all_that_are_up_and_before_those_that_drain(
    fleet: tuple[Member, ...], index: int, which: int
) -> None:
    """In its own view too: it asks the others for what it owned."""
    fleet = tuple(replace(one, state=UP) for one in fleet)
    one = fleet[which % len(fleet)]
    others = [name for name in names(view(*fleet).ranked(KEY, index)) if name != one.name]
    aside = tuple(replace(m, state=ASIDE) if m is one else m for m in fleet)
    for us in fleet:
        assert names(view(*aside, us=us.name).ranked(KEY, index)) == [*others, one.name]
    drained = tuple(replace(m, state=DRAINING) if m.name == others[0] else m for m in aside) if others else aside
    assert names(view(*drained).ranked(KEY, index)) == [*others[1:], one.name, *others[:1]]


def test_one_of_a_hundred_that_leaves_moves_one_slice_in_a_hundred() -> None:
    fleet = tuple(member(number) for number in range(100))
    before, after = view(*fleet, us="n01"), view(*fleet[1:], us="n01")
    moved = sum(before.ranked(KEY, index)[0] != after.ranked(KEY, index)[0] for index in range(3000))
    assert moved == sum(before.ranked(KEY, index)[0].name == "n00" for index in range(3000))
    assert moved < 60


def test_weights_are_kept_within_a_few_percent() -> None:
    fleet = (member(0, 1 << 40), member(1, 2 << 40), member(2, 5 << 40))
    wins = Counter(view(*fleet).ranked(KEY, index)[0].name for index in range(20_000))
    for one in fleet:
        assert wins[one.name] / 20_000 == pytest.approx(one.weight / (8 << 40), rel=0.05)


def test_slices_of_one_blob_are_spread() -> None:
    fleet = tuple(member(number) for number in range(4))
    assert {view(*fleet).ranked(KEY, index)[0].name for index in range(64)} == {one.name for one in fleet}


@given(fleets, indexes)
def test_the_ejected_are_not_asked_and_we_never_eject_ourselves(fleet: tuple[Member, ...], index: int) -> None:
    everybody = view(*fleet, ejected=tuple(names(fleet)))
    assert names(everybody.ranked(KEY, index)) == ["n00"]


@given(fleets, indexes)
def test_of_two_that_see_the_same_one_ranks_before_the_other(fleet: tuple[Member, ...], index: int) -> None:
    """And it is the one that is asked first."""
    for one in fleet:
        for other in fleet:
            seen = view(*fleet, us=one.name)
            order = names(seen.ranked(KEY, index))
            expected = order.index(other.name) < order.index(one.name)
            assert seen.ranks_before_us(other.url, KEY, index) is expected


def test_the_ejected_and_strangers_rank_where_they_rank() -> None:
    fleet = (member(0), member(1))
    first = next(one for one in fleet if one.name == view(*fleet).ranked(KEY, 0)[0].name)
    other = next(one for one in fleet if one is not first)
    assert view(*fleet, us=other.name, ejected=(first.name,)).ranks_before_us(first.url, KEY, 0)
    assert not view(*fleet, us=other.name).ranks_before_us("http://stranger:1", KEY, 0)


def test_leavers_are_those_that_would_own_the_slice_were_they_to_stay() -> None:
    fleet = tuple(member(number) for number in range(4))
    for index in range(50):
        ranked = view(*fleet, us="n03").ranked(KEY, index)
        left = tuple(replace(one, state=DRAINING) if one.name in ("n00", "n01") else one for one in fleet)
        expected = []
        for one in ranked:
            if one.name not in ("n00", "n01"):
                break
            expected.append(one.name)
        assert names(view(*left, us="n03").leavers(KEY, index)) == expected


def test_an_address_of_nobody_is_nobody() -> None:
    fleet = view(member(0), member(1))
    assert fleet.at("http://n01:8080") == member(1)
    assert fleet.at("http://169.254.169.254") is None


@pytest.mark.parametrize("members", [(), (member(1),), (member(0), member(0)), (member(1), member(0))])
def test_a_view_that_contradicts_itself_cannot_be_made(members: tuple[Member, ...]) -> None:
    with pytest.raises(ValueError):
        view(*members)


def test_the_difference_of_two_views_says_all_that_happened() -> None:
    old = view(member(0), member(1), member(2), member(3), member(4), ejected=("n04",))
    old = replace(old, members=(*old.members, member(6), member(7, state=ASIDE)))
    new = view(member(0), member(2, state=DRAINING), member(3, boot="2"), member(4), member(5), ejected=("n03",))
    new = replace(new, members=(*new.members, member(6, state=ASIDE), member(7)))
    assert difference(old, new) == Difference(
        joined=("n05",),
        left=("n01",),
        draining=("n02",),
        aside=("n06",),
        back=("n07",),
        restarted=("n03",),
        ejected=("n03",),
        readmitted=("n04",),
    )


@given(fleets)
def test_a_view_does_not_differ_from_itself(fleet: tuple[Member, ...]) -> None:
    assert not difference(view(*fleet), replace(view(*fleet), version=2))
