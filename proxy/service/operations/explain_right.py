"""Who asks, for an explanation: the right of a caller as it is known now. Asks the origin for nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from proxy.access.gatekeeper import Gatekeeper
from proxy.catalogue.catalogue import Catalogue
from proxy.config.schema import Config
from proxy.core.caller import ANONYMOUS, Caller
from proxy.core.clock import Clock
from proxy.core.errors import OriginRefused
from proxy.core.rights import Denied, Plane
from proxy.fetch.rights import Freshness
from proxy.front.caller import caller_of
from proxy.hub.names import RepoId
from proxy.origin.budget import Budget

from .shape import Told

NOBODY: Final = "anonymous"


class StepTold(Told):
    """One thing that is decided on the way, what it comes to now, and the setting or rule that says so."""

    name: str
    says: str
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Access:
    """What decides about callers in this worker; `key` is that of their identities."""

    gatekeeper: Gatekeeper
    budget: Budget
    key: bytes
    config: Config


@dataclass(frozen=True, slots=True)
class Right:
    """How a right stands: `open` without a question, or `refused` (the status); else the origin is asked."""

    step: StepTold
    open: bool = False
    refused: int | None = None


def caller_named(said: SecretStr | None, key: bytes) -> Caller | None:
    """Who is meant by an Authorization field, or the word `anonymous`; None: whoever comes. Raises OriginRefused where
    a client would be refused for it."""
    if said is None:
        return None
    text = said.get_secret_value()
    return ANONYMOUS if text.strip().lower() == NOBODY else caller_of(text, key)


class RightDesk:
    """Answers out of the gatekeeper's memory and the catalogue."""

    def __init__(self, access: Access, catalogue: Catalogue, freshness: Freshness, clock: Clock) -> None:
        self._access = access
        self._catalogue = catalogue
        self._freshness = freshness
        self._clock = clock

    def of(self, caller: Caller | None, repo: RepoId, plane: Plane, asked: str) -> Right:
        """The right of `caller`; `asked` is what the origin would be asked to find out."""
        if caller is not None:
            standing = self._access.gatekeeper.standing(caller, repo, plane)
            if isinstance(standing, Denied):
                return _denied(caller, standing.refusal, self._access.config.freshness.deny_ttl)
            if standing:
                ttl = self._access.config.freshness.allow_ttl
                says = f"the origin let in {_who(caller)}, or everybody, less than {ttl:.0f} s ago (this worker knows)"
                return Right(StepTold(name="right", says=says, rule="freshness.allow_ttl"), open=True)
        return self._of_everybody(caller, repo, plane, asked)

    def _of_everybody(self, caller: Caller | None, repo: RepoId, plane: Plane, asked: str) -> Right:
        planes = (plane, Plane.FILES) if plane is Plane.CARD else (plane,)
        since = max((at for one in planes if (at := self._catalogue.public_since(repo, one)) is not None), default=None)
        ttl = self._freshness.public_ttl
        if since is None:
            whose = "each caller's own token is" if caller is None else f"{_who(caller)} is"
            says = f"not known to be for everybody: {whose} shown to the origin, by {asked}"
            if caller is not None and caller.is_anonymous:
                says = f"not known to be for everybody: the origin is asked as nobody, by {asked}"
            return Right(StepTold(name="right", says=says, rule="the origin decides, of the very repo"))
        age = self._clock.wall() - since
        if age < ttl:
            says = f"for everybody, as the origin said {age:.0f} s ago (believed {ttl:.0f} s)"
            return Right(StepTold(name="right", says=says, rule="freshness.public_ttl"), open=True)
        says = f"for everybody when last asked, {age:.0f} s ago: asked again, and believed while the origin is away"
        return Right(StepTold(name="right", says=says, rule="freshness.public_ttl"))

    def budget_step(self, caller: Caller | None, plane: Plane) -> StepTold:
        """Whether the origin lets this account ask now."""
        who = caller or ANONYMOUS
        wait = self._access.budget.refusal(who.identity, plane)
        whose = "the anonymous account" if who.is_anonymous else "this token"
        if wait is not None:
            says = f"the origin allows {whose} no more questions for {wait} s: what is kept is served, the rest is 429"
        elif self._access.budget.refusal(who.identity, plane, can_wait=True) is not None:
            says = (
                f"few questions are left to {whose}: asked is only what cannot wait, and the rest served as it is kept"
            )
        else:
            says = f"the origin lets {whose} ask, as far as this worker knows"
        return StepTold(name="budget", says=says, rule="the origin's RateLimit and Retry-After; origin.token_file")

    def policy_step(self) -> StepTold:
        """The rules of this node that may let or refuse any request."""
        limits = self._access.config.limits
        says = (
            f"let in: whatever only reads, by at most {limits.connections_per_client} connections of one address and "
            f"{limits.connections} in all, to each worker; no rule on organisations, formats, licences or scans exists "
            "here"
        )
        return StepTold(name="policy", says=says, rule="limits.connections_per_client, limits.connections")


def _who(caller: Caller) -> str:
    return "nobody in particular" if caller.is_anonymous else "the bearer of this token"


def _denied(caller: Caller, refusal: OriginRefused, ttl: float) -> Right:
    code = f" {refusal.code}" if refusal.code else ""
    says = f"the origin refused {_who(caller)} less than {ttl:.0f} s ago: {refusal.status}{code}, repeated until then"
    return Right(StepTold(name="right", says=says, rule="freshness.deny_ttl"), refused=refusal.status)
