"""Responses of generic origins: `purge` of them, and `explain`."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol, assert_never
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, model_validator

from proxy.core.clock import Clock
from proxy.core.errors import RequestRefused
from proxy.core.purging import Below, Purge, Tagged, ThisTarget, Which
from proxy.fetch.web.places import place_of, prefix_of
from proxy.fetch.web.purging import ResponsePurges
from proxy.rfc9111.fields import Fields
from proxy.rfc9111.freshness import age, lifetime, remaining
from proxy.rfc9111.reuse import Forward, NotCached, Revalidate, Serve, ServeAndRevalidate, decide
from proxy.rfc9111.stored import LargeBody, SmallBody, StoredResponse
from proxy.rfc9111.tags import tags_of
from proxy.rfc9111.variants import select

from .shape import Asked, Refused, Told


def _target(said: object) -> object:
    """Path and query of what may be a whole address of the node."""
    if not isinstance(said, str) or said.startswith("/"):
        return said
    parts = urlsplit(said)
    if parts.scheme not in ("http", "https"):
        raise ValueError("give a path, or the whole address")
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


Target = Annotated[
    str,
    BeforeValidator(_target),
    Field(
        max_length=16_384,
        description="Path and query as clients ask this node, or the whole address.",
        examples=["/data/rows.csv?version=3"],
    ),
]
Line = Annotated[str, Field(max_length=8192, pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+:[ \t]*[^\r\n\x00]*$")]


class VoidAsked(Asked):
    """Responses to drop: one of the three says which."""

    target: Target | None = Field(None, description="All responses to this target.")
    prefix: Target | None = Field(None, description="All responses to targets that begin so.")
    tag: str | None = Field(
        None, max_length=1024, description="All responses with this tag (Surrogate-Key, Cache-Tag)."
    )
    soft: bool = Field(False, description="They are stale from now on, and serve where a stale response may.")
    dry_run: bool = Field(False, description="Only count what it would be about.")

    @model_validator(mode="after")
    def _one(self) -> VoidAsked:
        if sum(one is not None for one in (self.target, self.prefix, self.tag)) != 1:
            raise ValueError("say one of target, prefix and tag")
        return self


class VoidTold(Told):
    """What was purged here; the other nodes are told, those that are away when they are back."""

    responses: int = Field(description="How many were dropped here, are stale now, or would be.")
    soft: bool
    dry_run: bool


class ExplainAsked(Asked):
    """A GET that somebody may make."""

    target: Target
    fields: tuple[Line, ...] = Field((), max_length=64, description="Fields of the request, `Name: value` each.")


class VariantTold(Told):
    """A response that is kept for the target."""

    status: int
    selected: bool = Field(description="Whether it is the one for this request.")
    varies: dict[str, str] = Field(description="The request fields that select it.")
    age: float = Field(description="Seconds.")
    lifetime: float = Field(description="Seconds for which it is fresh, from its making on.")
    left: float = Field(description="Seconds for which it stays fresh; negative: it is stale for so long.")
    purged: bool = Field(description="Whether it is stale because it was purged softly.")
    tags: list[str]
    size: int
    body: str = Field(description="The name its bytes are kept under.")


class ExplainTold(Told):
    """What the request would be answered with, and why."""

    origin: str
    target: str = Field(description="What is asked of the origin.")
    decision: Literal["serve", "serve-and-revalidate", "revalidate", "forward", "not-cached"]
    rule: str
    variants: list[VariantTold]


class Heads(Protocol):
    def at(self, place: bytes) -> tuple[StoredResponse, ...]: ...


class ResponseDesk:
    """`places`: prefix of the targets, and name, of each generic origin."""

    def __init__(self, places: tuple[tuple[str, str], ...], heads: Heads, purges: ResponsePurges, clock: Clock) -> None:
        self._places = places
        self._heads = heads
        self._purges = purges
        self._clock = clock

    async def void(self, asked: VoidAsked) -> VoidTold:
        at, count = self._clock.wall(), 0
        for origin, which in self._meant(asked):
            try:
                purge = Purge(origin, which, at, asked.soft)
            except RequestRefused as error:
                raise Refused(400, str(error)) from None
            count += await (self._purges.count(purge) if asked.dry_run else self._purges.purge(purge))
        return VoidTold(responses=count, soft=asked.soft, dry_run=asked.dry_run)

    async def explain(self, asked: ExplainAsked) -> ExplainTold:
        origin, target = self._at_origin(asked.target)
        request = tuple(_field(line) for line in asked.fields)
        kept, now = self._heads.at(place_of(origin, target)), self._clock.wall()
        chosen = select(kept, request)
        decision, rule = _decided(request, chosen, now)
        return ExplainTold(
            origin=origin,
            target=target,
            decision=decision,
            rule=rule,
            variants=[_told(one, now, selected=one is chosen) for one in kept],
        )

    def _meant(self, asked: VoidAsked) -> list[tuple[str, Which]]:
        if asked.tag is not None:
            if not self._places:
                raise Refused(404, _NO_ORIGIN)
            return [(origin, Tagged(asked.tag)) for _, origin in self._places]
        if asked.prefix is not None:
            origin, prefix = self._at_origin(asked.prefix)
            return [(origin, Below(prefix))]
        assert asked.target is not None, "the model has seen to it"
        origin, target = self._at_origin(asked.target)
        return [(origin, ThisTarget(target))]

    def _at_origin(self, target: str) -> tuple[str, str]:
        """Name of the origin, and what `target` is called there. Raises Refused."""
        places = dict(self._places)
        prefix = prefix_of(target, places)
        if prefix is None:
            raise Refused(404, _NO_ORIGIN)
        return places[prefix], target[len(prefix) :]


_NO_ORIGIN = (
    "no generic origin answers there (they are at /o/NAME/…, or at / where origin.kind is http); "
    "for the Hub: penstock info REPO"
)


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.lower(), value.strip(" \t")


def _decided(
    request: Fields, chosen: StoredResponse | None, now: float
) -> tuple[Literal["serve", "serve-and-revalidate", "revalidate", "forward", "not-cached"], str]:
    match decide(request, chosen, now):
        case Serve(_, rule):
            return "serve", rule
        case ServeAndRevalidate():
            return "serve-and-revalidate", "stale-while-revalidate"
        case Revalidate(_, rule):
            return "revalidate", rule
        case Forward(rule):
            return "forward", rule
        case NotCached():
            return "not-cached", "only-if-cached"
        case other:
            assert_never(other)


def _told(stored: StoredResponse, now: float, *, selected: bool) -> VariantTold:
    match stored.body:
        case SmallBody(key, size):
            name = str(key)
        case LargeBody(record):
            name, size = str(record.key), record.size
        case other:
            assert_never(other)
    return VariantTold(
        status=stored.status,
        selected=selected,
        varies=dict(stored.selecting),
        age=round(age(stored, now), 3),
        lifetime=lifetime(stored.status, stored.fields, stored.received_at),
        left=round(remaining(stored, now), 3),
        purged=stored.ended is not None,
        tags=sorted(tags_of(stored.fields)),
        size=size,
        body=name,
    )
