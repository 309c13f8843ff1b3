"""What one node of a fleet asks another about a generic origin: a stretch of what a shared cache may keep. Pure.

It is asked in nobody's name: a question holds no field of a client's request but those that Vary has selected, and of
these none that could be a credential.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from proxy.core.blob import BlobKey, BlobRecord

Fields = tuple[tuple[str, str], ...]

CREDENTIALS: Final = frozenset({"authorization", "cookie", "proxy-authorization"})
"""Fields of requests that may say who somebody is (lower case); none of them travels."""


class NoQuestion(ValueError):
    """Bytes that are no question."""


def record_of(origin: str, target: str, validator: str, size: int) -> BlobRecord:
    """The record of a body known by its place: `target` of the origin of that name, strong validator, length."""
    return BlobRecord(BlobKey.of_place(f"{origin} {target}", validator, size), size, validator, None)


@dataclass(frozen=True, slots=True)
class WebQuestion:
    """A representation: the origin by the name that all nodes know it by, the target as that sees it, the strong
    validator and the length under which it is asked for, and the request fields that selected it.

    `stored_only` and `asker` as in `peering.PeerQuestion`."""

    origin: str
    target: str
    validator: str
    size: int
    fields: Fields = ()
    stored_only: bool = False
    asker: str = ""

    @property
    def record(self) -> BlobRecord:
        """Made of the question's own parts: whoever asks cannot name the bytes of another place."""
        return record_of(self.origin, self.target, self.validator, self.size)

    @property
    def name(self) -> BlobKey:
        """What all nodes call the blob."""
        return self.record.key

    def encoded(self) -> bytes:
        """To be sealed before it leaves."""
        return orjson.dumps(
            {
                "o": self.origin,
                "t": self.target,
                "v": self.validator,
                "n": self.size,
                "h": self.fields,
                "s": self.stored_only,
                "r": self.asker,
            }
        )

    @classmethod
    def of(cls, said: dict[str, Any]) -> WebQuestion:
        """Raises NoQuestion for one that could not be asked of an origin, KeyError, TypeError, ValueError."""
        target, size, fields = checked_target(said["t"]), said["n"], checked_fields(said["h"])
        if not isinstance(size, int):
            raise NoQuestion("no length")
        return cls(str(said["o"]), target, str(said["v"]), size, fields, said["s"] is True, str(said["r"]))

    def anew(self, *, stored_only: bool) -> WebQuestion:
        return replace(self, stored_only=stored_only)

    def asked_by(self, url: str) -> WebQuestion:
        """The question as the node at `url` asks it of one that ranks before it."""
        return replace(self, asker=url)


def checked_target(said: Any) -> str:
    """Raises NoQuestion for what is no target of an origin."""
    target = str(said)
    if not is_plain(target) or not target.startswith("/"):
        raise NoQuestion("no target")
    return target


def checked_fields(said: Any) -> Fields:
    """Raises NoQuestion for what are no fields of a request in nobody's name, TypeError, ValueError."""
    fields = tuple((str(name), str(value)) for name, value in said)
    if any(name.lower() in CREDENTIALS or not is_plain(name + value, " \t") for name, value in fields):
        raise NoQuestion("no fields of a request")
    return fields


def is_plain(text: str, besides: str = "") -> bool:
    """Whether it can stand in a head of HTTP: no control character, nor white space but `besides`."""
    return text.isascii() and all("!" <= character <= "~" or character in besides for character in text)
