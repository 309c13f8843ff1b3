"""What one node of a fleet asks another: a stretch of a file, with all that is needed to fetch it. Pure.

The node that asks has proven its caller's right; the one that is asked needs to know neither file nor caller before. So
a question holds the file's facts, where it is to be had, and in whose name (a token, which is why questions travel
sealed: see `cluster.signing`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, assert_never

import orjson

from proxy.core.blob import BlobKey, BlobRecord
from proxy.core.secret import Secret

from .facts import FileFacts, facts_fields, facts_of
from .names import Counter, FileTarget, ObjectTarget, RepoId, RepoKind, Revision
from .web_asking import AnswerQuestion
from .web_peering import NoQuestion, WebQuestion

ADDRESS_REFUSED: Final = "AddressRefused"
"""How a peer is told that the origin's file store refuses what the origin gives out: it need not ask either."""


@dataclass(frozen=True, slots=True)
class PeerQuestion:
    """A file at a commit, or an object, its facts, and the token of the caller it is for (None: anybody).

    `lend`: the caller was just proven to be allowed without a token; a token of the mirror's own may be used.
    `stored_only`: give what is here, and fetch nothing. `asker`: the address of the node that asks because, as it sees
    the fleet, the other ranks before it; empty when it asks for another reason."""

    target: FileTarget | ObjectTarget
    facts: FileFacts
    token: Secret | None
    lend: bool = False
    stored_only: bool = False
    asker: str = ""

    @property
    def name(self) -> BlobKey:
        """What all nodes call the blob."""
        return self.facts.shared_name(self.target.repo)

    @property
    def record(self) -> BlobRecord:
        return self.facts.record(self.target.repo)

    @property
    def size(self) -> int:
        """Bytes of the whole."""
        return self.facts.size

    @property
    def validator(self) -> str:
        """The strong validator (without quotes) that an answer has to have."""
        return self.facts.etag

    def encoded(self) -> bytes:
        """With the token in it: to be sealed before it leaves."""
        content = {
            "t": _target_fields(self.target),
            "f": facts_fields(self.facts),
            "l": self.lend,
            "s": self.stored_only,
            "r": self.asker,
        }
        if self.token is not None:
            content["a"] = self.token.reveal()
        return orjson.dumps(content)

    @classmethod
    def of(cls, said: dict[str, Any]) -> PeerQuestion:
        """Raises ValueError (NoQuestion is one), KeyError, TypeError or AttributeError for what is no question."""
        token = said.get("a")
        caller = None if token is None else Secret(token)
        return cls(_target_of(said["t"]), facts_of(said["f"]), caller, said["l"], said["s"], str(said.get("r", "")))

    def without_caller(self) -> PeerQuestion:
        """About the same file, in nobody's name: to be kept, which a caller's token never is."""
        lend = self.lend and self.token is None
        return replace(self, token=None, lend=lend, stored_only=False, asker="")

    def anew(self, *, stored_only: bool) -> PeerQuestion:
        return replace(self, stored_only=stored_only)

    def asked_by(self, url: str) -> PeerQuestion:
        """The question as the node at `url` asks it of one that ranks before it."""
        return replace(self, asker=url)


Question = PeerQuestion | WebQuestion
"""About bytes of a blob."""


def question_of(content: bytes) -> Question | AnswerQuestion:
    """What a member has asked. Raises NoQuestion."""
    try:
        said = orjson.loads(content)
        if "w" in said:
            return AnswerQuestion.of(said)
        question: Question = WebQuestion.of(said) if "o" in said else PeerQuestion.of(said)
        _ = question.record  # which refuses lengths and validators that are none
        return question
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NoQuestion("these bytes are no question") from None


def _target_fields(target: FileTarget | ObjectTarget) -> list[str]:
    match target:
        case FileTarget(repo, revision, path):
            return ["file", repo.kind.value, repo.name, revision.text, path]
        case ObjectTarget(repo, sha256, counter):
            return ["object", repo.kind.value, repo.name, sha256, counter.value]
        case _:
            assert_never(target)


def _target_of(fields: list[str]) -> FileTarget | ObjectTarget:
    sort, kind, name, where, rest = fields
    repo = RepoId(RepoKind(kind), name)
    if sort == "object":
        return ObjectTarget(repo, where, Counter(rest))
    if sort != "file" or not Revision(where).is_commit:
        raise NoQuestion(f"no target: {sort}")
    return FileTarget(repo, Revision(where), rest)
