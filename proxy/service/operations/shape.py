"""What an operation is made of: what it is asked, what it tells, and how it says no."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict


class Asked(BaseModel):
    """What is asked of an operation; its fields are the query of a GET or DELETE, the JSON body of a POST or PUT."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Told(BaseModel):
    """What an operation tells."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Asked):
    """There is nothing to be said."""


class Refused(Exception):
    """An operation says no: `status` for the wire, `why` for the person."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of an operation."""

    status: int
    body: dict[str, Any]

    @classmethod
    def refused(cls, status: int, why: str) -> Self:
        return cls(status, {"error": why})

    def document(self) -> dict[str, Any]:
        return {"status": self.status, "body": self.body}

    @classmethod
    def of_document(cls, document: dict[str, Any]) -> Self:
        return cls(int(document["status"]), dict(document["body"]))


NODE_STARTS: Final = Reply.refused(503, "the node is starting")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: its name, its place on the admin port, what it is for, what goes in and out.

    `refusals` are the statuses it says no with, and when; 400 (a wrong argument) and 503 (starting) every one may."""

    verb: str
    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    purpose: str
    asked: type[Asked]
    told: type[Told]
    status: int = 200
    refusals: tuple[tuple[int, str], ...] = ()

    @property
    def has_body(self) -> bool:
        return self.method in ("POST", "PUT")
