"""Every key in Redis: what it is called, what it holds, how long it lives. `docs/redis-keys.md` is this table in words.

All keys of one script share a hash tag, the part in braces, so that they lie in one slot of a Redis Cluster. Every key
has a TTL, and every value a largest size: what Redis holds of us is bounded by what happened lately.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from proxy.core.blob import BlobKey
from proxy.core.sizes import KIB, MIB


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of key. `pattern` is its name with <parts>, `kind` the type in Redis, `ttl` in words, `most` the bytes
    that one of them may cost Redis, `bound` how many there are."""

    pattern: str
    kind: str
    ttl: str
    holds: str
    most: int
    bound: str
    owner: str

    def matches(self, key: str) -> bool:
        pieces = re.split(r"<[a-z0-9 ]+>", self.pattern)
        return re.fullmatch(".+".join(re.escape(piece) for piece in pieces), key) is not None


MEMBERS_CHANNEL: Final = "penstock:members"
ALLOWANCES: Final = "penstock:{allowances}"
ALLOWANCES_CHANNEL: Final = "penstock:allowances"
NOTICES: Final = "penstock:{notices}"
NOTICES_CHANNEL: Final = "penstock:notices"
WRITES: Final = "penstock:{writes}"
WRITES_CHANNEL: Final = "penstock:writes"


def lease_keys(key: BlobKey, index: int) -> tuple[str, str, str]:
    """The lease of a slice, the last number given out for it, and who has its bytes."""
    tag = f"{{{key}}}:{index}"
    return f"penstock:lease:{tag}", f"penstock:epoch:{tag}", f"penstock:holders:{tag}"


def commons_key(kind: str, name: str) -> str:
    """What is known (`ref`, `facts`, `listing`) under a name, or who asks for it (`asking`), or why that is in vain
    (`refused`)."""
    return f"penstock:{kind}:{{{name}}}"


TABLE: Final = (
    Row(
        "penstock:{members}",
        "hash",
        "1 h since the last heartbeat of anybody; a field as long as five heartbeats of its node",
        "for each node's address: time of its last heartbeat and how long it holds (ms), state, boot, name and weight; "
        "whether it stands aside, and marks of the nodes that it cannot reach",
        512 * KIB,
        "1024 nodes of some 200 bytes; 240 more for one that cannot reach 16 others",
        "the nodes; each its own field, any of them removes those that are too old",
    ),
    Row(
        "penstock:lease:{<blob key>}:<slice>",
        "hash",
        "`cluster.lease_ttl` (10 s), renewed at a third of it",
        "who reads this slice from the origin: `worker`, `owner` (one acquisition), `url` of its node, `epoch`, `ttl`",
        KIB,
        "one for each slice being filled",
        "the holder; deleted by it, or by its TTL",
    ),
    Row(
        "penstock:epoch:{<blob key>}:<slice>",
        "string",
        "1 h since the last lease",
        "the greatest fencing number given out for the slice (never below Redis' own clock in ms)",
        512,
        "one for each slice filled in the last hour",
        "whoever takes the lease",
    ),
    Row(
        "penstock:holders:{<blob key>}:<slice>",
        "hash",
        "10 min since the last change",
        "addresses of nodes that have the whole slice, each with the time (ms) at which it said so",
        4 * KIB,
        "8 addresses, mostly 1; one for each slice filled in the last ten minutes",
        "the nodes named in it",
    ),
    Row(
        "penstock:ref:{<name>}",
        "string",
        "what is left of `freshness.ref_ttl`, 1 h at most",
        "which commit a branch or tag of a public repo means, and when that was asked; sealed",
        KIB,
        "mostly 256; one for each revision asked for within that time",
        "who asked the origin",
    ),
    Row(
        "penstock:facts:{<name>}",
        "string",
        "1 h",
        "what a file of a public repo is at a commit: names, length, whether it is there at all; sealed",
        3 * KIB,
        "mostly 512; one for each file first asked for in the last hour",
        "who asked the origin",
    ),
    Row(
        "penstock:listing:{<name>}",
        "string",
        "what is left of `freshness.listing_ttl` or `ref_ttl`, 10 min at most",
        "what a listing or the description of a public repo says; packed, sealed",
        320 * KIB,
        "mostly 5 KiB; one for each listing first asked for in the last ten minutes",
        "who asked the origin",
    ),
    Row(
        "penstock:refused:{<name>}",
        "string",
        "5 s; after a 429 what the origin said, 60 s at most",
        "that the origin refuses to answer a question about a public repo, and how (403, 404, 429 ...); sealed",
        5 * KIB,
        "mostly 512; one for each question refused in the last moments",
        "who asked the origin",
    ),
    Row(
        "penstock:asking:{<name>}",
        "string",
        "3 s",
        "that a node is asking the origin about a file or listing",
        512,
        "one for each question under way",
        "who asks; deleted by it, or by its TTL",
    ),
    Row(
        "penstock:{allowances}",
        "hash",
        "10 min since the last change",
        "by account that all nodes share: requests left, kept in reserve, end of the window; sealed",
        2 * KIB,
        "one; 4 fields of 60 bytes",
        "whoever was told by the origin",
    ),
    Row(
        "penstock:{notices}",
        "stream",
        "1 day since the last one",
        "what all nodes have to know: a repo that is not public any more, or is to be forgotten or asked for anew, a "
        "blob or responses to be dropped; sealed",
        8 * MIB,
        "one; 10,000 entries of 300 bytes",
        "whoever has something to tell",
    ),
    Row(
        "penstock:{writes}",
        "stream",
        "1 day since the last one",
        "which targets of generic origins were written to, so that no node serves what was kept of them; sealed",
        MIB,
        "one; 1,000 entries of 300 bytes",
        "the node that a write went through",
    ),
)
