"""Every error of the project. Each speaks our language and carries what a caller needs; only the front knows statuses.

PenstockError
├── ConfigError                 the configuration is wrong (all mistakes at once)
├── MalformedTarget             a request target that names nothing, or names it in two ways
├── NoSuchOrigin                a target below the mounted origins, of none of them
├── WritesRefused               the mirror does not take uploads
├── RequestRefused              a request we do not take (method, framing, size)
├── TicketRefused               an address or token that we gave out, or did not
│   ├── TicketExpired           it was ours; ask for a new one
│   └── TicketForged            it is not ours, or for something else
├── OriginRefused               the origin said no, and its answer is the answer (401, 403, 404, 410, 416, 451)
├── OriginAway                  no answer to be had now; a stored one may serve
│   ├── OriginUnreachable       connection, DNS, TLS, timeout, 5xx
│   │   └── AddressRefused      the address it just gave out is refused
│   │       └── PlainRefused    in a manner that another way may be open
│   └── OriginBusy              our own budget, or the breaker: wait `retry_after` seconds
│       └── SlowDown            429, just now
├── XetNeeded                   the origin gives the file by Xet alone, and we have no hf_xet
├── OriginLied                  an answer that contradicts itself or the record; nothing of it is kept
│   ├── SourceChanged           another generation: validator, length or digest is not the record's
│   ├── RangeMangled            a 206 (or a 200 in its place) that is not the range asked for
│   └── DigestMismatch          the bytes are whole and wrong
├── SpoolFull                   an answer of unknown length is longer than what is held of one
├── NotKept                     the client wants what is kept or nothing (only-if-cached), and there is nothing
├── StoreError
│   ├── NoDisk                  no disk can take or give the bytes: relay without storing
│   ├── DiskFailed              one disk failed under an operation
│   └── BlobDropped             the blob was dropped (changed, corrupt, purged) while it was being read
├── RedisAway                   Redis gives no answer now; what it is asked for is done without
├── PeerError                   between the nodes of one fleet; no client sees any of these
│   ├── PeerRefused             a request of the peer plane that no member of the fleet has signed
│   ├── AskAnother              the bytes are not here, and this node is not the one to fetch them now
│   │   └── PeerLeaving         … nor later: it hands its slices over
│   ├── FoundWrong              the fleet has read the whole, from the origin too: not what the origin announces
│   └── PeerFailed              a peer did not give what was asked of it; the next is asked
│       └── PeerSlow            it was asked by the way, and did not answer at once
├── Stalled                     no progress within the progress timeout
└── Overloaded                  a limit of this node: try again in `retry_after` seconds
"""

from __future__ import annotations


class PenstockError(Exception):
    """The root. `str()` says what and why in a sentence that may be shown to a client: it never holds a secret."""


class ConfigError(PenstockError):
    """The configuration is wrong; `mistakes` lists every one, each saying what, where, and what would be right."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


class MalformedTarget(PenstockError):
    """A request target that is no path of ours, or that could be read in two ways."""


class NoSuchOrigin(PenstockError):
    """A target where the mounted origins are, that is of none of them."""


class WritesRefused(PenstockError):
    """The mirror is read-only."""


class RequestRefused(PenstockError):
    """A well-framed request that we do not take: `reason` is shown to the client."""


class TicketRefused(PenstockError):
    """A signed address or token does not open what it is brought for."""


class TicketExpired(TicketRefused):
    """It was ours, and its time is over."""


class TicketForged(TicketRefused):
    """It is not ours, damaged, or made for something else."""


class OriginRefused(PenstockError):
    """The origin said no. Its status and its words are passed on.

    `code` is the Hub's X-Error-Code (RepoNotFound, RevisionNotFound, EntryNotFound, GatedRepo), `commit` the
    X-Repo-Commit that comes with a missing file, `headers` further fields worth passing on (WWW-Authenticate).
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        commit: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.commit = commit
        self.headers = headers


class OriginAway(PenstockError):
    """The origin gives no answer now."""


class OriginUnreachable(OriginAway):
    """Connection, DNS or TLS failure, timeout, or a 5xx."""


class AddressRefused(OriginUnreachable):
    """The origin's file store refuses the address that the origin has just given out, again and again. It would refuse
    another node as well."""


class PlainRefused(AddressRefused):
    """The file's address at the origin's store is refused as soon as it is given out: not to be had by plain HTTP."""


class OriginBusy(OriginAway):
    """The origin, or our own budget for it, asks us to wait `retry_after` seconds (>= 1)."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = max(1, retry_after)


class SlowDown(OriginBusy):
    """The origin itself has just said so, to the account that asked (429)."""


class XetNeeded(PenstockError):
    """The origin gives a file by Xet alone and this node has no hf_xet; the message says what to install."""


class OriginLied(PenstockError):
    """The origin contradicted itself; nothing of that answer is kept."""


class SourceChanged(OriginLied):
    """The file at the origin is not the generation we hold a record of."""


class RangeMangled(OriginLied):
    """The answer to a range request is not that range."""


class DigestMismatch(OriginLied):
    """All bytes arrived and they are not what the origin's own digest says."""


class SpoolFull(PenstockError):
    """An answer whose length the origin does not say is longer than what is held of one."""


class NotKept(PenstockError):
    """The client wants what is kept or nothing, and nothing is."""


class StoreError(PenstockError):
    """The disks cannot do what was asked."""


class NoDisk(StoreError):
    """No healthy disk has room; serve without storing."""


class DiskFailed(StoreError):
    """A disk failed under an operation; it leaves the ranking."""


class BlobDropped(StoreError):
    """The blob was dropped while it was being read or filled."""


class RedisAway(PenstockError):
    """Redis gives no answer, or none that helps. Whoever asked goes on without: no client ever sees this.

    `skipped`: it was not asked at all, because the breaker is open."""

    def __init__(self, message: str, *, skipped: bool = False) -> None:
        super().__init__(message)
        self.skipped = skipped


class PeerError(PenstockError):
    """Something between two nodes of one fleet."""


class PeerRefused(PeerError):
    """No member of this fleet has signed that, or not for this, or not now. Who sent it learns nothing more."""


class AskAnother(PeerError):
    """The node has not got the bytes, and will not fetch them now: it is reading them from a peer itself, or was asked
    for no more than what it has."""


class PeerLeaving(AskAnother):
    """The node has not got the bytes, and hands its slices over to the others: it is not to be asked for a while."""


class FoundWrong(PeerError):
    """The node that proves the blob for the fleet has read all of it, in the end from the origin, and the digest is
    another than the origin announces: whatever anybody has of it is worth nothing."""


class PeerFailed(PeerError):
    """A peer gave no answer, a wrong one, or none for too long. What it gave before that is used."""


class PeerSlow(PeerFailed):
    """A peer that was asked by the way whether it has something did not say so at once."""


class Stalled(PenstockError):
    """Nothing moved within the progress timeout."""


class Overloaded(PenstockError):
    """A limit of this node is reached; worth another try in `retry_after` seconds."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = max(1, retry_after)
