"""Renders `docs/redis-keys.md` from the table of keys: `python -m proxy.cluster.keytable`."""

from __future__ import annotations

import sys

from .hints import KEPT
from .keys import ALLOWANCES_CHANNEL, MEMBERS_CHANNEL, NOTICES_CHANNEL, TABLE, WRITES_CHANNEL

_HEAD = """# Redis keys

<!-- generated from proxy/cluster/keys.py by `make generated`; do not edit -->

All that a fleet keeps in Redis or Valkey. Every key begins with `penstock:`, has a TTL and a largest size: what Redis
holds is bounded by what happened lately. Nothing of it has to survive a restart of Redis, and no answer is wrong
because it is lost. Give each fleet a database or a server of its own. The part in braces is the hash tag: keys of one
script share it.

Nothing made of a token is in Redis. What nodes believe is sealed: enciphered, and authenticated together with its name,
by AES-SIV under a key made of `cluster.secret_file`. Names of repos, branches and files are HMACs.

| key | type | TTL | what it holds | bytes in Redis, at most | how many | who writes it |
|---|---|---|---|---|---|---|
"""

COMMANDS = (
    *("EVALSHA", "EVAL", "GET", "SET", "DEL", "TYPE", "TIME", "PTTL", "PEXPIRE"),
    *("HSET", "HGET", "HMGET", "HGETALL", "HKEYS", "HLEN", "HDEL", "XADD", "XRANGE", "XREVRANGE"),
    *("PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE", "PING"),
)
"""All that is asked of a Redis that is no cluster."""

_FOOT = f"""
Channels (pub/sub; every word there is a hint to look sooner, and may be lost): `{NOTICES_CHANNEL}` (something is new in
`penstock:{{notices}}`), `{WRITES_CHANNEL}` (the same of `penstock:{{writes}}`), `{ALLOWANCES_CHANNEL}` (an account has
nothing left), `{MEMBERS_CHANNEL}` (a node was found out of reach by another), `{KEPT}` (nothing is ever said there: it
keeps a connection listening).

Needed commands, for an account of its own (`ACL SETUSER`, with `~penstock:* resetchannels &penstock:*`):
`{" ".join(COMMANDS)}`; in a Redis Cluster `CLUSTER SLOTS` besides. `maxmemory-policy` may be any: keys that are evicted
are learnt again.
"""


def render() -> str:
    """The page."""
    rows = (
        f"| `{row.pattern}` | {row.kind} | {row.ttl} | {row.holds} | {row.most:,} | {row.bound} | {row.owner} |"
        for row in TABLE
    )
    return _HEAD + "\n".join(rows) + "\n" + _FOOT


if __name__ == "__main__":
    sys.stdout.write(render())
