"""The register of the nodes of a fleet in Redis: one hash, a field for each node's address.

    penstock:{members}   address -> <Unix time in ms of the last beat>|<silence in ms>|<state>|<boot>|<rest as JSON>
    penstock:members     channel: the mark of a node that was just left out by another: it looks at once

The time is Redis' own; a field that is older than the silence it was written with, or from the future (the clock went
back), is removed by the next beat of anybody. A node says one thing, however many workers say it: within one life
(boot) it goes from up to draining to gone and never back. The last word stays until it is too old, so that everybody
hears it. The whole hash ends when nobody has been there for an hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from .keys import MEMBERS_CHANNEL
from .members import Member, MemberState
from .redis import Script
from .roster import MOST, Said, mark_of

KEY: Final = "penstock:{members}"
KEPT_MS: Final = 3_600_000
"""How long the hash outlives its last beat, in milliseconds."""
MOST_OUT: Final = 16
"""Nodes that one names at most as left out: who cannot reach more than these had better look at its own network."""
_LONGEST_URL: Final = 300
_LONGEST_NAME: Final = 300
_MOST_WEIGHT: Final = 1 << 60

_COMMON: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local order = {up = 1, draining = 2, gone = 3}
local function split(value)
  return string.match(value, '^(%d+)|(%d+)|(%a+)|([%w-]*)|(.*)$')
end
"""

BEAT: Final = Script(
    _COMMON
    + """
local url, state, boot, rest = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local silence, kept, most, known = ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8]
for mark in string.gmatch(ARGV[10], '%x+') do redis.call('PUBLISH', ARGV[9], mark) end
local before = redis.call('HGET', KEYS[1], url)
local former = ''
if before then
  local _, _, said, life = split(before)
  former = life or ''
  if life == boot and (order[said] or 0) > order[state] then state = said end
end
redis.call('HSET', KEYS[1], url, string.format('%.0f|%s|%s|%s|%s', now, silence, state, boot, rest))
redis.call('PEXPIRE', KEYS[1], kept)
local fields = redis.call('HGETALL', KEYS[1])
local urls, values = {}, {}
for i = 1, #fields, 2 do
  local at, holds, said, life, more = split(fields[i + 1])
  at, holds = tonumber(at), tonumber(holds)
  if not at or not order[said] or now - at >= holds or at > now + 1000 then
    redis.call('HDEL', KEYS[1], fields[i])
  elseif #urls < most then
    urls[#urls + 1] = fields[i]
    values[fields[i]] = {said, life, more}
  end
end
table.sort(urls)
local found = {}
for _, one in ipairs(urls) do
  found[#found + 1] = one
  for part = 1, 3 do found[#found + 1] = values[one][part] end
end
local digest = redis.sha1hex(table.concat(found, '\\n'))
local clock = string.format('%.0f', now)
if digest == known then return {former, digest, clock} end
return {former, digest, clock, found}
"""
)
"""A beat, and all who are there. Nothing but a digest comes back when nothing changed since the one that is told."""


class Line(Protocol):
    """The part of `SharedRedis` that is needed."""

    async def run(self, script: Script, keys: Sequence[str], words: Sequence[str | bytes | int | float]) -> Any: ...


@dataclass(frozen=True, slots=True)
class Beaten:
    """What a beat brought. `former`: the life in which our address was last seen, empty when in none. `at`: when it
    came, by the clock of Redis (Unix time)."""

    said: Said
    former: str
    at: float


class Register:
    """The register as one worker uses it. `silence` in seconds: how long a beat holds."""

    def __init__(self, line: Line, *, silence: float) -> None:
        self._line = line
        self._silence = round(silence * 1000)
        self._digest = b""
        self._said = Said(())

    async def beat(
        self, us: Member, *, goodbye: bool = False, out: Iterable[str] = (), news: Iterable[str] = ()
    ) -> Beaten:
        """Say that we are there, or that we go; whom we leave out (addresses), and who of them is to hear it at once.
        Raises RedisAway."""
        # Whether a node stands aside is no step of its life, and older nodes need not know the word.
        aside = us.state is MemberState.ASIDE
        state = "gone" if goodbye else MemberState.UP.value if aside else us.state.value
        said = {"name": us.name, "weight": us.weight, "aside": aside, "out": sorted(map(mark_of, out))[:MOST_OUT]}
        rest = orjson.dumps({name: value for name, value in said.items() if value})
        marks = " ".join(sorted(map(mark_of, news))[:MOST_OUT])
        words = (us.url, state, us.boot, rest, self._silence, KEPT_MS, MOST, self._digest, MEMBERS_CHANNEL, marks)
        former, digest, clock, *found = await self._line.run(BEAT, [KEY], words)
        if found:
            self._digest, self._said = digest, _read(found[0])
        return Beaten(self._said, former.decode("ascii", "replace"), int(clock) / 1000)


def _read(found: Sequence[bytes]) -> Said:
    """Everybody who can be understood; who wrote the rest is no node of ours."""
    entries = [found[at : at + 4] for at in range(0, len(found) - 3, 4)]
    gone = frozenset(url.decode("utf-8", "replace") for url, state, _, _ in entries if state == b"gone")
    known = [_member(*entry) for entry in entries if entry[1] != b"gone"]
    members = [one for one in known if one is not None]
    left_out = tuple((member.url, mark) for member, out in members for mark in out)
    return Said(tuple(member for member, _ in members), gone, left_out)


def _member(url: bytes, state: bytes, boot: bytes, rest: bytes) -> tuple[Member, tuple[str, ...]] | None:
    """A member, and the marks of those it leaves out."""
    try:
        said = orjson.loads(rest)
        name, weight = said["name"], said["weight"]
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
            return None
        if type(weight) is not int or weight > _MOST_WEIGHT or len(url) > _LONGEST_URL:
            return None
        known = MemberState(state.decode("ascii"))
        if known is MemberState.UP and said.get("aside") is True:
            known = MemberState.ASIDE
        out = tuple(mark for mark in said.get("out", ())[:MOST_OUT] if isinstance(mark, str))
        return Member(name, url.decode("ascii"), weight, known, boot.decode("ascii")), out
    except (ValueError, KeyError, TypeError):
        return None
