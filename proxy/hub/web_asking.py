"""What one node of a fleet asks another about a generic origin: the answer to a GET, if all may have it. Pure.

It is asked in nobody's name: of the client's fields only those go along that the origin would be sent and that say
nothing of who asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from .web_peering import Fields, NoQuestion, checked_fields, checked_target


@dataclass(frozen=True, slots=True)
class AnswerQuestion:
    """A GET for `target` of the origin that all nodes know by that name, with the client's `fields`.

    `stored_only`: give what is here and may be served, and ask nobody. `is_behind`: the client has a stale answer
    already and nobody waits, so a fresh one is worth waiting for. `etag`: of what the node that asks has, and need not
    be sent again; empty when it has nothing. `void_ago`: so many seconds ago the node that asks found out, or saw to
    it, that what was kept until then is out of date."""

    origin: str
    target: str
    fields: Fields = ()
    stored_only: bool = False
    is_behind: bool = False
    etag: str = ""
    void_ago: float | None = None

    def encoded(self) -> bytes:
        """To be sealed before it leaves."""
        return orjson.dumps(
            {
                "w": self.origin,
                "t": self.target,
                "h": self.fields,
                "s": self.stored_only,
                "b": self.is_behind,
                "e": self.etag,
                "v": self.void_ago,
            }
        )

    @classmethod
    def of(cls, said: dict[str, Any]) -> AnswerQuestion:
        """Raises NoQuestion for one that could not be asked of an origin, KeyError, TypeError, ValueError."""
        if not isinstance(said["e"], str):
            raise NoQuestion("no validator")
        void_ago = None if said["v"] is None else max(0.0, float(said["v"]))
        target, fields = checked_target(said["t"]), checked_fields(said["h"])
        return cls(str(said["w"]), target, fields, said["s"] is True, said["b"] is True, said["e"], void_ago)
