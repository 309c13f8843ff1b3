"""Who is there, from what the register in Redis says again and again. Decides, does nothing.

Nodes leave quickly by saying so, slowly by silence: an entry that is gone from the register may be a clock that jumped,
or a Redis that lost its memory, and is believed only when it stays away. While Redis is silent nobody leaves at all,
and the peers of the configuration count. Who comes and goes waits longer each time before it counts again: every
coming and going moves slices.

A node that most of the others cannot reach is of no use as an owner, though it lives: it fetches its slices for its own
readers, and the others fetch them once more. So each says whom it leaves out (`health`), and who hears that of itself
from most of the others stands aside for a while.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from proxy.core.clock import Clock

from .members import Member, MemberState

LONGEST_WAIT: Final = 60.0
"""Most seconds that a node which comes and goes has to stay before it counts."""
STEADY: Final = 300.0
"""Seconds of presence after which its past is forgotten, as is that of one that stays away as long."""
LEAVING_FOR: Final = 30.0
"""Seconds for which it is believed of a node what it has told us itself, that it hands its slices over."""
ASIDE_FOR: Final = 10.0
"""Seconds for which a node stands aside after it last heard that most of the others leave it out."""
MOST: Final = 1024
"""Nodes of one fleet; entries beyond are not looked at."""


@dataclass(frozen=True, slots=True)
class Said:
    """One answer of the register: who says that it is there, and the addresses of those that said goodbye."""

    members: tuple[Member, ...]
    gone: frozenset[str] = frozenset()
    left_out: tuple[tuple[str, str], ...] = ()
    """(address of who says so, `mark_of` whom it leaves out)."""


@dataclass(slots=True)
class _Known:
    """A node of the register: since when it is there without a pause, or is missing; how often it was lost."""

    member: Member
    present_since: float
    counts_from: float
    missing_since: float | None = None
    lost: bool = False
    losses: int = 0


def mark_of(url: str) -> str:
    """A member in short, where others name it. Two that share one by chance stand aside together, at worst."""
    return sha256(url.encode()).hexdigest()[:12]


class Roster:
    """The members of a fleet, ourselves among them, told apart by their addresses.

    `silence` is how long (seconds) a node may be missing from the register before it is gone, `rest` how much longer it
    may be when the register was silent: it leaves Redis alone for a while then, each node for a while of its own."""

    def __init__(self, us: Member, peers: tuple[Member, ...], *, silence: float, rest: float, clock: Clock) -> None:
        self._us = us
        self._peers = peers
        self._silence = silence
        self._rest = rest
        self._missed_from = 0.0
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._leaving: dict[str, tuple[str, float]] = {}
        self._mark = mark_of(us.url)
        self._left_out_by: dict[str, float] = {}
        """Who left us out, by address, until when that is believed."""
        self.hears = False
        """Whether the register answered when it was last asked."""

    @property
    def us(self) -> Member:
        return replace(self._us, state=MemberState.ASIDE) if self._is_aside() else self._us

    def we_drain(self) -> None:
        self._us = replace(self._us, state=MemberState.DRAINING)

    def is_leaving(self, member: Member) -> None:
        """The member said, to us and not to the register, that it drains. Forgotten soon, unless it says so again:
        where there is no register nobody would tell us that it is back."""
        self._leaving[member.url] = (member.boot, self._clock.monotonic() + LEAVING_FOR)

    def heard(self, said: Said) -> None:
        """The register answered."""
        now = self._clock.monotonic()
        if not self.hears and self._known:
            # What was missing before Redis fell silent has to be missed anew: perhaps nobody has been back yet.
            for known in self._known.values():
                known.missing_since = None
            self._missed_from = now + self._rest
        self.hears = True
        self._left_out_by |= {url: now + ASIDE_FOR for url, mark in said.left_out[:MOST] if mark == self._mark}
        entries = {entry.url: entry for entry in said.members[:MOST] if entry.url != self._us.url}
        for url, entry in entries.items():
            self._note_present(url, entry, now)
        for url in [url for url in self._known if url not in entries]:
            if url in said.gone:
                del self._known[url]
            else:
                self._note_missing(url, now)

    def silent(self) -> None:
        """The register did not answer."""
        self.hears = False

    def missed(self) -> tuple[Member, ...]:
        """Who fell silent without a goodbye, in the last `STEADY` seconds, and is not back; sorted by name."""
        lost = (known.member for known in self._known.values() if known.lost)
        return tuple(sorted(lost, key=lambda member: (member.name, member.url)))

    def members(self) -> tuple[Member, ...]:
        """Everybody who counts now, sorted by name, each name once."""
        now = self._clock.monotonic()
        listed = {
            url: known.member for url, known in self._known.items() if not known.lost and now >= known.counts_from
        }
        if not self.hears:
            listed = {peer.url: peer for peer in self._peers} | listed
        self._leaving = {url: said for url, said in self._leaving.items() if url in listed and now < said[1]}
        return _named_apart(self.us, (self._as_it_said(member) for member in listed.values()))

    def _as_it_said(self, member: Member) -> Member:
        """As listed, but draining if this life of it has told us so."""
        boot, _ = self._leaving.get(member.url, (None, 0.0))
        return replace(member, state=MemberState.DRAINING) if boot == member.boot else member

    def _is_aside(self) -> bool:
        """Whether most of the others leave us out. One that does may have lost its own way; most of them have not."""
        if self._us.state is not MemberState.UP:
            return False
        now = self._clock.monotonic()
        others = {url for url, known in self._known.items() if not known.lost}
        self._left_out_by = {url: until for url, until in self._left_out_by.items() if now < until and url in others}
        return 2 * len(self._left_out_by) > len(others)

    def _note_present(self, url: str, entry: Member, now: float) -> None:
        known = self._known.get(url)
        if known is None:
            if len(self._known) >= MOST:
                return
            self._known[url] = _Known(entry, now, now)
            return
        known.member = entry
        known.missing_since = None
        if known.lost:
            known.lost, known.present_since = False, now
            known.counts_from = now + min(LONGEST_WAIT, self._silence * 2.0 ** min(known.losses - 2, 16))
            if known.losses == 1:
                known.counts_from = now  # once is an accident
        elif now - known.present_since >= STEADY:
            known.losses = 0

    def _note_missing(self, url: str, now: float) -> None:
        known = self._known[url]
        if known.missing_since is None:
            known.missing_since = max(now, self._missed_from)
        elif now - known.missing_since >= STEADY:
            del self._known[url]
        elif now - known.missing_since >= self._silence and not known.lost:
            known.lost = True
            known.losses += 1


def _named_apart(us: Member, others: Iterable[Member]) -> tuple[Member, ...]:
    """Everybody by name. A name that another has already is no name: its bearer is called by its address."""
    found = {us.name: us}
    for member in sorted(others, key=lambda member: member.url):
        if member.url == us.url:
            continue
        name = member.name if member.name not in found else member.url.partition("://")[2]
        if name not in found:
            found[name] = member if name == member.name else replace(member, name=name)
    return tuple(found[name] for name in sorted(found))
