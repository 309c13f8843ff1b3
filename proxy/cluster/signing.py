"""How the nodes of a fleet know one another: by a secret that all of them hold and that never travels.

A request between nodes carries, in its Authorization field, who asks, when, a number used once, and an HMAC-SHA256 over
all of that and over method, path, range and the question beside it. Its answer carries an HMAC over that number and
what is answered, so that nobody who merely sits at a peer's address can say no in its name. The question (which holds a
caller's token) is encrypted besides: the wire between nodes may be plain HTTP.

A signature holds for `WINDOW` seconds on either side of the reader's clock, and once per worker. Bodies are not signed:
blobs are proven by their own digests.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final

from cryptography.fernet import Fernet, InvalidToken

from proxy.core.blob import BlobRecord
from proxy.core.bounded import BoundedDict
from proxy.core.clock import Clock
from proxy.core.errors import PeerRefused
from proxy.core.manifest import Manifest, NoManifest
from proxy.hub.peering import Question, question_of
from proxy.hub.web_asking import AnswerQuestion
from proxy.hub.web_peering import NoQuestion

WINDOW: Final = 30.0
"""Seconds by which the clocks of two nodes may differ, and for which a number used once is remembered."""

REMEMBERED: Final = 200_000
"""Numbers kept at most (some 30 MB); beyond it the oldest may be used again within the window."""

SCHEME: Final = "Penstock-Peer"
LONGEST_QUESTION: Final = 12 * 1024
"""Bytes of a sealed question: it must fit in a request's head."""

_STAMP: Final = 32

_FIELD: Final = re.compile(
    rf"{SCHEME} node=([A-Za-z0-9._:\[\]-]{{1,300}}) hops=([0-9]) time=([0-9]{{1,15}}) "
    r"once=([0-9a-f]{32}) mac=([0-9a-f]{64})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Asking:
    """The parts of a request between nodes that are signed. `range` is the Range field, `question` the sealed one."""

    method: str
    path: str
    range: str
    question: str


@dataclass(frozen=True, slots=True)
class Asker:
    """Who signed a request: the name of the node, and how many nodes it has come through (1: a client asked it)."""

    node: str
    hops: int
    once: str


class Signer:
    """Signs for one node, and checks what others have signed."""

    def __init__(self, secret: bytes, node: str, clock: Clock) -> None:
        """`secret` is the fleet's, at least 32 bytes."""
        assert len(secret) >= 32, "a cluster secret has at least 32 bytes"
        self._key = _derived(secret, "requests")
        self._answers = _derived(secret, "answers")
        self._manifests = _derived(secret, "manifests")
        self._box = Fernet(base64.urlsafe_b64encode(_derived(secret, "questions")))
        self._node = node
        self._clock = clock
        self._used: BoundedDict[str, float] = BoundedDict(entries=REMEMBERED)

    # --- who asks -----------------------------------------------------------------------------------------------

    def seal(self, question: Question | AnswerQuestion) -> str:
        """The question as a header field. Raises PeerRefused when it is too long for one."""
        text = self._box.encrypt(question.encoded()).decode()
        if len(text) > LONGEST_QUESTION:
            raise PeerRefused("the question is too long to be asked of a peer")
        return text

    def sign(self, asking: Asking, *, hops: int) -> tuple[str, Asker]:
        """The Authorization field for it, and what its answer will be checked with."""
        once = secrets.token_hex(16)
        when = str(int(self._clock.wall() * 1000))
        mac = _mac(self._key, _spelt(asking, self._node, str(hops), when, once))
        return f"{SCHEME} node={self._node} hops={hops} time={when} once={once} mac={mac}", Asker(
            self._node, hops, once
        )

    def is_proof(self, proof: str, asker: Asker, status: int, said: bytes) -> bool:
        """Whether `proof` came with an answer `said` by a member of the fleet to this very request."""
        return hmac.compare_digest(proof.encode(), self.prove(asker, status, said).encode())

    # --- what is kept -------------------------------------------------------------------------------------------

    def stamp(self, manifest: Manifest) -> bytes:
        """The manifest, and behind it what shows that a member of the fleet wrote it: it holds for good."""
        content = manifest.encoded()
        return content + bytes.fromhex(_mac(self._manifests, content))

    def unstamp(self, stamped: bytes, record: BlobRecord) -> Manifest | None:
        """The manifest of `record` that a member has stamped; None for anything else."""
        content, stamp = stamped[:-_STAMP], stamped[-_STAMP:]
        if not hmac.compare_digest(stamp.hex(), _mac(self._manifests, content)):
            return None
        try:
            manifest = Manifest.decoded(content)
        except NoManifest:  # a member of another version wrote it
            return None
        return manifest if (manifest.key, manifest.size) == (record.key, record.size) else None

    # --- who is asked -------------------------------------------------------------------------------------------

    def check(self, field: str | None, asking: Asking) -> Asker:
        """Who signed this request. Raises PeerRefused, with the same words whatever is wrong with it."""
        match = _FIELD.fullmatch(field or "")
        if match is None:
            raise _refused()
        node, hops, when, once, mac = match.groups()
        if not hmac.compare_digest(mac, _mac(self._key, _spelt(asking, node, hops, when, once))):
            raise _refused()
        now = self._clock.wall()
        if abs(now - int(when) / 1000) > WINDOW:
            raise _refused()
        used = self._used.get(once)
        self._used.put(once, now)
        if used is not None:
            raise _refused()
        return Asker(node, int(hops), once)

    def open(self, sealed: str) -> Question | AnswerQuestion:
        """Raises PeerRefused."""
        try:
            return question_of(self._box.decrypt(sealed.encode("ascii"), ttl=None))
        except (InvalidToken, NoQuestion, UnicodeEncodeError):
            raise _refused() from None

    def prove(self, asker: Asker, status: int, said: bytes) -> str:
        """What shows that `said` is the answer of a member of the fleet to the request of `asker`."""
        return _mac(self._answers, b"\n".join((asker.once.encode(), str(status).encode(), said)))


def _refused() -> PeerRefused:
    return PeerRefused("this is for the nodes of the fleet")


def _derived(secret: bytes, purpose: str) -> bytes:
    return hmac.new(secret, f"penstock peers {purpose}".encode(), hashlib.sha256).digest()


def _mac(key: bytes, content: bytes) -> str:
    return hmac.new(key, content, hashlib.sha256).hexdigest()


def _spelt(asking: Asking, node: str, hops: str, when: str, once: str) -> bytes:
    """No part holds a line break: they are fields of HTTP, or matched above."""
    question = hashlib.sha256(asking.question.encode()).hexdigest()
    return "\n".join((asking.method, asking.path, asking.range, question, node, hops, when, once)).encode()
