"""The nodes of a fleet as one node sees them: values, and what follows from them. Pure.

A *member* is a node, however many workers it has. A *view* is all members at one moment, with a number that grows
whenever it changes; two nodes may hold different views, which costs a second download at worst (leases make that
rare), never a wrong byte.

Members are ranked by their addresses, because that is the one thing that everybody knows of everybody: those who read
it in Redis, and those who were given a list. Names are for people.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from proxy.core.blob import BlobKey
from proxy.core.rendezvous import Candidate, rank


class MemberState(Enum):
    """What a node says of itself."""

    UP = "up"
    ASIDE = "aside"
    """Most of the others cannot reach it: until they can, it asks them for what it owns, as they ask one another."""
    DRAINING = "draining"
    """It answers what it is asked and owns nothing any more: others take its slices over."""


_ORDER = (MemberState.UP, MemberState.ASIDE, MemberState.DRAINING)
"""Who is asked before whom."""


@dataclass(frozen=True, slots=True)
class Member:
    """A node. `name` is unique in its fleet, `url` where its peers reach it (canonical, no path), `weight` its share of
    the slices (bytes of its disks; > 0, only ratios count), `boot` one life of it: another one with every start."""

    name: str
    url: str
    weight: int
    state: MemberState = MemberState.UP
    boot: str = ""

    def __post_init__(self) -> None:
        if self.weight < 1:
            raise ValueError(f"a node weighs at least 1: {self.weight}")


@dataclass(frozen=True, slots=True)
class View:
    """The fleet, seen by the member called `us`. `members` are sorted by name and hold ourselves; `ejected` are the
    names of those that failed us lately: they are there, and not asked."""

    version: int
    members: tuple[Member, ...]
    us: str
    ejected: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        names = [member.name for member in self.members]
        if names != sorted(set(names)) or self.us not in names:
            raise ValueError(f"members are sorted, unique and hold {self.us}: {names}")

    @property
    def ourselves(self) -> Member:
        return next(member for member in self.members if member.name == self.us)

    @property
    def peers(self) -> tuple[Member, ...]:
        """Everybody else, ejected or not."""
        return tuple(member for member in self.members if member.name != self.us)

    def at(self, url: str) -> Member | None:
        """The member that is reached at `url`; None for an address of nobody we know, which is never to be asked."""
        return next((member for member in self.members if member.url == url), None)

    def ranked(self, key: BlobKey, index: int) -> tuple[Member, ...]:
        """The members to ask for the slice, its owner first: those that are up by rendezvous, then those that stand
        aside, then those that drain. The ejected are left out; we ourselves are always in."""
        return tuple(member for state in _ORDER for member in self._ranked(key, index, state))

    def ranks_before_us(self, url: str, key: BlobKey, index: int) -> bool:
        """Whether the member at `url` comes before us for the slice, be it ejected or not: who is in rank before whom
        depends on the two alone."""
        other, us = self.at(url), self.ourselves
        if other is None or other.name == self.us:
            return False
        if other.state is not us.state:
            return _ORDER.index(other.state) < _ORDER.index(us.state)
        return _by_rank((other, us), key, index)[0] is other

    def leavers(self, key: BlobKey, index: int) -> tuple[Member, ...]:
        """Members that drain, or stand aside, and ranked before everybody who is up: they are likely to hold the slice
        still."""
        everybody = _by_rank(self._asked(self.members), key, index)
        first = next((at for at, member in enumerate(everybody) if member.state is MemberState.UP), len(everybody))
        return tuple(member for member in everybody[:first] if member.name != self.us)

    def _ranked(self, key: BlobKey, index: int, state: MemberState) -> tuple[Member, ...]:
        return _by_rank((m for m in self._asked(self.members) if m.state is state), key, index)

    def _asked(self, members: Iterable[Member]) -> Iterable[Member]:
        return (member for member in members if member.name not in self.ejected or member.name == self.us)


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed from one view to another, names sorted. `restarted`: the same name in another life, or elsewhere;
    `back`: up again after it stood aside."""

    joined: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    draining: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    back: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    ejected: tuple[str, ...] = ()
    readmitted: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__dataclass_fields__)


def difference(old: View, new: View) -> Difference:
    """What an observer of `old` has to learn to know `new`. A change of weight alone is none."""
    before = {member.name: member for member in old.members}
    after = {member.name: member for member in new.members}
    both = sorted(before.keys() & after.keys())
    return Difference(
        joined=tuple(sorted(after.keys() - before.keys())),
        left=tuple(sorted(before.keys() - after.keys())),
        draining=tuple(name for name in both if _came_to(MemberState.DRAINING, before[name], after[name])),
        aside=tuple(name for name in both if _came_to(MemberState.ASIDE, before[name], after[name])),
        back=tuple(name for name in both if _came_to(MemberState.UP, before[name], after[name])),
        restarted=tuple(name for name in both if _life(before[name]) != _life(after[name])),
        ejected=tuple(sorted(new.ejected - old.ejected)),
        readmitted=tuple(sorted((old.ejected - new.ejected) & after.keys())),
    )


def _came_to(state: MemberState, before: Member, after: Member) -> bool:
    return after.state is state and before.state is not state


def _life(member: Member) -> tuple[str, str]:
    return member.boot, member.url


def _by_rank(members: Iterable[Member], key: BlobKey, index: int) -> tuple[Member, ...]:
    by_url = {member.url: member for member in members}
    if len(by_url) < 2:
        return tuple(by_url.values())
    candidates = [Candidate(member.url, member.weight) for member in by_url.values()]
    return tuple(by_url[url] for url in rank(f"{key}/{index}/".encode(), candidates))
