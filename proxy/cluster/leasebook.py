"""The leases in Redis: five scripts, each one step, each harmless when it runs twice.

    lease    hash {worker, owner, url, epoch, ttl} with a TTL: who reads a slice from the origin
    epoch    the greatest number given out for the slice
    holders  hash {url: time}: who has the bytes

An *owner* is one acquisition of one worker and never comes again. So a script that is repeated because its answer was
lost finds its own lease, and one that comes late finds that the lease is another's and leaves it alone. A worker may
take over what is left of its own earlier acquisition, under a new number; and the lease of a node that it cannot reach,
because it would have to read the slice from the origin all the same: so the next who asks follows it, and the one that
lost the lease, when it hears of that.

What lies there may be anything: a key of the wrong type, without a TTL or with fields missing is deleted, a TTL longer
than the lease's own (the clock of Redis was set back) is cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from proxy.core.blob import BlobKey
from proxy.core.errors import RedisAway

from .keys import lease_keys
from .redis import Script, SharedRedis

EPOCH_TTL: Final = 3600.0
"""Seconds. After that the clock of Redis alone keeps the numbers growing."""
HOLDERS_TTL: Final = 600.0
HOLDERS: Final = 8
LONGEST_TTL: Final = 300.0
"""Seconds: no lease lasts longer unrenewed, whatever is written in it."""


@dataclass(frozen=True, slots=True)
class LeaseName:
    """The slice `index` of the blob `key`."""

    key: BlobKey
    index: int


@dataclass(frozen=True, slots=True)
class Granted:
    """The lease is the owner's, under the number `epoch`; `holders` say that they have the slice already."""

    epoch: int
    holders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """Another has it, at `url`."""

    url: str
    holders: tuple[str, ...]


_ACQUIRE: Final = Script("""
local worker, owner, url, ttl, longest = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local function only(key, kind)
  local found = redis.call('TYPE', key)['ok']
  if found ~= kind and found ~= 'none' then redis.call('DEL', key) end
end
only(KEYS[1], 'hash')
only(KEYS[2], 'string')
only(KEYS[3], 'hash')
if redis.call('HLEN', KEYS[3]) > tonumber(ARGV[7]) then redis.call('DEL', KEYS[3]) end
local holders = redis.call('HKEYS', KEYS[3])
local left = redis.call('PTTL', KEYS[1])
local held = redis.call('HMGET', KEYS[1], 'worker', 'owner', 'url', 'epoch', 'ttl')
local whole = held[1] and held[2] and held[3] and held[4] and tonumber(held[5])
if left >= 0 and whole then
  if held[2] == owner then
    redis.call('PEXPIRE', KEYS[1], ttl)
    return {1, held[4], holders}
  end
  if held[1] ~= worker and not string.find(' ' .. ARGV[8] .. ' ', ' ' .. held[3] .. ' ', 1, true) then
    local most = math.max(1, math.min(longest, tonumber(held[5])))
    if left > most then redis.call('PEXPIRE', KEYS[1], most) end
    return {0, held[3], holders}
  end
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local last = tonumber(redis.call('GET', KEYS[2]) or '')
if not last or not (last >= 0 and last < 9e15) then last = 0 end
local epoch = string.format('%.0f', math.max(math.floor(last) + 1, now))
redis.call('SET', KEYS[2], epoch, 'PX', ARGV[6])
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'worker', worker, 'owner', owner, 'url', url, 'epoch', epoch, 'ttl', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ttl)
return {1, epoch, holders}
""")
# The order matters for readers alone: a script is one step, and its first write fails if any would.

_OURS: Final = """
if redis.call('TYPE', KEYS[1])['ok'] ~= 'hash' then return 0 end
local held = redis.call('HMGET', KEYS[1], 'owner', 'epoch')
if held[1] ~= ARGV[1] or (ARGV[2] ~= '' and held[2] ~= ARGV[2]) then return 0 end
"""
"""Goes on only if the lease is that owner's, under that number (any number when it is not known)."""

_RENEW: Final = Script(_OURS + "redis.call('PEXPIRE', KEYS[1], ARGV[3]) return 1")

_PASSED_ON: Final = Script("""
if redis.call('TYPE', KEYS[1])['ok'] ~= 'string' then return 0 end
local last = tonumber(redis.call('GET', KEYS[1]) or '')
if last and last > tonumber(ARGV[1]) then return 1 end
return 0
""")

_RELEASE: Final = Script(_OURS + "redis.call('DEL', KEYS[1]) return 1")

_DONE: Final = Script(
    """
local found = redis.call('TYPE', KEYS[2])['ok']
if found ~= 'hash' and found ~= 'none' then redis.call('DEL', KEYS[2]) end
local time = redis.call('TIME')
redis.call('HSET', KEYS[2], ARGV[3], time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('PEXPIRE', KEYS[2], ARGV[4])
while redis.call('HLEN', KEYS[2]) > tonumber(ARGV[5]) do
  local all, oldest, since = redis.call('HGETALL', KEYS[2]), nil, nil
  for i = 1, #all, 2 do
    local at = tonumber(all[i + 1]) or 0
    if all[i] ~= ARGV[3] and (since == nil or at < since) then oldest, since = all[i], at end
  end
  redis.call('HDEL', KEYS[2], oldest)
end
"""
    + _OURS
    + "redis.call('DEL', KEYS[1]) return 1"
)


class LeaseBook:
    """The scripts for one worker of the node whose peers reach it at `url`. `ttl` in seconds."""

    def __init__(self, redis: SharedRedis, *, worker: str, url: str, ttl: float) -> None:
        self._redis = redis
        self._worker = worker
        self._url = url
        self._ttl = _ms(ttl)

    @property
    def within(self) -> float:
        """Seconds that a call may take."""
        return self._redis.within

    async def acquire(self, name: LeaseName, owner: str, unreached: Iterable[str] = ()) -> Granted | Held:
        """Take the lease, or learn who has it. Asked again by the same owner the answer is the same. From a holder at
        one of the `unreached` it is taken.

        Raises RedisAway; the lease may have been taken all the same."""
        words = (self._worker, owner, self._url, self._ttl, _ms(LONGEST_TTL), _ms(EPOCH_TTL), HOLDERS)
        keys = lease_keys(name.key, name.index)
        return _read(await self._redis.run(_ACQUIRE, keys, (*words, " ".join(sorted(unreached)))))

    async def renew(self, name: LeaseName, owner: str, epoch: int) -> bool:
        """Start its time anew; False when it is not the owner's any more. Raises RedisAway."""
        lease, _, _ = lease_keys(name.key, name.index)
        return bool(await self._redis.run(_RENEW, (lease,), (owner, epoch, self._ttl)))

    async def is_passed_on(self, name: LeaseName, epoch: int) -> bool:
        """Whether a greater number than `epoch` was given out: another has, or had, the lease after us. False also when
        Redis has forgotten everything. Raises RedisAway."""
        _, numbers, _ = lease_keys(name.key, name.index)
        return bool(await self._redis.run(_PASSED_ON, (numbers,), (epoch,)))

    async def release(self, name: LeaseName, owner: str, epoch: int | None) -> bool:
        """Give it back; nothing happens when it is not the owner's. Raises RedisAway."""
        lease, _, _ = lease_keys(name.key, name.index)
        return bool(await self._redis.run(_RELEASE, (lease,), (owner, "" if epoch is None else epoch)))

    async def done(self, name: LeaseName, owner: str, epoch: int) -> bool:
        """Say that this node has the slice, and give the lease back if it is still the owner's. Raises RedisAway."""
        lease, _, holders = lease_keys(name.key, name.index)
        words = (owner, epoch, self._url, _ms(HOLDERS_TTL), HOLDERS)
        return bool(await self._redis.run(_DONE, (lease, holders), words))


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _read(reply: Any) -> Granted | Held:
    """What acquire said. Raises RedisAway for what our script cannot have said."""
    match reply:
        case [1, bytes(epoch), list(holders)] if epoch.isdigit():
            return Granted(int(epoch), _texts(holders))
        case [0, bytes(url), list(holders)]:
            return Held(url.decode(errors="replace"), _texts(holders))
        case _:
            raise RedisAway("Redis answered something else than was asked")


def _texts(words: Sequence[Any]) -> tuple[str, ...]:
    return tuple(word.decode(errors="replace") for word in words if isinstance(word, bytes))
