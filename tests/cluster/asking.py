"""A question, and the nodes that know one another by a secret."""

from __future__ import annotations

from proxy.cluster.signing import Signer
from proxy.core.clock import ManualClock
from proxy.core.secret import Secret
from proxy.hub.facts import FileFacts
from proxy.hub.names import FileTarget, RepoId, RepoKind, Revision
from proxy.hub.peering import PeerQuestion

SECRET = b"a secret of thirty-two bytes, and more"
REPO = RepoId(RepoKind.MODEL, "acme/tiny")
COMMIT = "c" * 40


def question(
    size: int = 3_000_000, *, token: str | None = "hf_alice", path: str = "model.safetensors", sha256: str = "ab" * 32
) -> PeerQuestion:
    facts = FileFacts(sha256, size, linked=True, key=None)
    return PeerQuestion(FileTarget(REPO, Revision(COMMIT), path), facts, None if token is None else Secret(token))


def signer(node: str = "n0", *, secret: bytes = SECRET, clock: ManualClock | None = None) -> Signer:
    return Signer(secret, node, clock or ManualClock())
