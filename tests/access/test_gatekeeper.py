"""Rights end when they should, and no token ever speaks for another."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from proxy.access.gatekeeper import Gatekeeper
from proxy.config.schema import FreshnessSection
from proxy.core.caller import ANONYMOUS, Caller, bearer
from proxy.core.clock import ManualClock
from proxy.core.errors import OriginRefused
from proxy.core.rights import Denied, Plane
from proxy.core.secret import Secret
from proxy.hub.names import RepoId, RepoKind

FRESHNESS = FreshnessSection.model_validate({"allow_ttl": "120s", "deny_ttl": "5s"})
REPO = RepoId(RepoKind.MODEL, "acme/tiny")
OTHER = RepoId(RepoKind.DATASET, "acme/tiny")
ANN, BOB = (bearer(Secret(f"hf_{name}"), b"key") for name in ("ann", "bob"))
GATED = OriginRefused(403, "Access is restricted", code="GatedRepo", headers=(("www-authenticate", "Bearer"),))


def keeper(entries: int = 100) -> tuple[Gatekeeper, ManualClock]:
    clock = ManualClock()
    return Gatekeeper(FRESHNESS, clock=clock, entries=entries), clock


def test_nothing_is_known_at_first() -> None:
    gate, _ = keeper()
    assert gate.standing(ANN, REPO, Plane.FILES) is False


def test_an_allow_holds_for_its_ttl_and_no_longer() -> None:
    gate, clock = keeper()
    gate.allow(ANN, REPO, Plane.FILES)
    clock.advance(119.9)
    assert gate.standing(ANN, REPO, Plane.FILES) is True
    clock.advance(0.1)
    assert gate.standing(ANN, REPO, Plane.FILES) is False


def test_the_files_open_the_card_and_the_card_opens_nothing_else() -> None:
    gate, _ = keeper()
    gate.allow(ANN, REPO, Plane.CARD)
    gate.allow(BOB, REPO, Plane.FILES)
    assert [gate.standing(who, REPO, Plane.FILES) for who in (ANN, BOB)] == [False, True]
    assert [gate.standing(who, REPO, Plane.CARD) for who in (ANN, BOB)] == [True, True]
    gate.allow(ANONYMOUS, REPO, Plane.CARD)
    assert gate.standing(ANN, REPO, Plane.FILES) is False


def test_a_refusal_is_repeated_as_it_was_and_then_asked_again() -> None:
    gate, clock = keeper()
    gate.deny(ANN, REPO, Plane.FILES, GATED)
    denied = gate.standing(ANN, REPO, Plane.FILES)
    assert isinstance(denied, Denied)
    assert (denied.refusal.status, denied.refusal.code, denied.refusal.headers) == (403, "GatedRepo", GATED.headers)
    clock.advance(5)
    assert gate.standing(ANN, REPO, Plane.FILES) is False


def test_a_repeated_refusal_is_a_fresh_exception_each_time() -> None:
    gate, _ = keeper()
    gate.deny(ANN, REPO, Plane.FILES, GATED)
    first, second = (gate.standing(ANN, REPO, Plane.FILES) for _ in range(2))
    assert isinstance(first, Denied)
    assert isinstance(second, Denied)
    assert first.refusal is not second.refusal


def test_one_token_says_nothing_about_another() -> None:
    gate, _ = keeper()
    gate.allow(ANN, REPO, Plane.FILES)
    assert gate.standing(BOB, REPO, Plane.FILES) is False
    assert gate.standing(ANONYMOUS, REPO, Plane.FILES) is False


def test_an_anonymous_allow_covers_everybody() -> None:
    gate, _ = keeper()
    gate.allow(ANONYMOUS, REPO, Plane.FILES)
    assert gate.standing(BOB, REPO, Plane.FILES) is True


def test_an_anonymous_refusal_ends_the_anonymous_allow() -> None:
    gate, _ = keeper()
    gate.allow(ANONYMOUS, REPO, Plane.FILES)
    gate.deny(ANONYMOUS, REPO, Plane.FILES, GATED)
    assert gate.standing(BOB, REPO, Plane.FILES) is False


def test_an_anonymous_refusal_says_nothing_about_tokens() -> None:
    gate, _ = keeper()
    gate.allow(ANN, REPO, Plane.FILES)
    gate.deny(ANONYMOUS, REPO, Plane.FILES, GATED)
    assert gate.standing(ANN, REPO, Plane.FILES) is True


def test_planes_are_judged_apart() -> None:
    gate, _ = keeper()
    gate.allow(ANN, REPO, Plane.API)
    assert gate.standing(ANN, REPO, Plane.FILES) is False


def test_repos_of_one_name_and_two_kinds_are_two() -> None:
    gate, _ = keeper()
    gate.allow(ANN, REPO, Plane.FILES)
    assert gate.standing(ANN, OTHER, Plane.FILES) is False


def test_forgetting_a_repo_drops_its_rights_and_no_others() -> None:
    gate, _ = keeper()
    for repo in (REPO, OTHER):
        gate.allow(ANN, repo, Plane.FILES)
        gate.allow(ANONYMOUS, repo, Plane.API)
    gate.forget(REPO)
    assert gate.standing(ANN, REPO, Plane.FILES) is False
    assert gate.standing(ANN, REPO, Plane.API) is False
    assert gate.standing(ANN, OTHER, Plane.FILES) is True


def test_memory_is_bounded_and_the_least_used_go_first() -> None:
    gate, _ = keeper(entries=3)
    repos = [RepoId(RepoKind.MODEL, f"acme/{number}") for number in range(4)]
    for repo in repos[:3]:
        gate.allow(ANN, repo, Plane.FILES)
    gate.standing(ANN, repos[0], Plane.FILES)
    gate.allow(ANN, repos[3], Plane.FILES)
    assert len(gate) == 3
    assert gate.standing(ANN, repos[0], Plane.FILES) is True
    assert gate.standing(ANN, repos[1], Plane.FILES) is False


CALLERS = st.sampled_from([ANONYMOUS, ANN, BOB])
REPOS = st.sampled_from([REPO, OTHER])
PLANES = st.sampled_from(list(Plane))


class RightsAgainstPlainBooks(RuleBasedStateMachine):
    """The books keep every verdict ever given, with its time; the gatekeeper must never know better."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.clock = keeper()
        self.books: dict[tuple[Any, ...], tuple[str, float]] = {}

    @rule(caller=CALLERS, repo=REPOS, plane=PLANES)
    def allow(self, caller: Caller, repo: RepoId, plane: Plane) -> None:
        self.gate.allow(caller, repo, plane)
        self.books[caller, repo, plane] = ("allow", self.clock.now)

    @rule(caller=CALLERS, repo=REPOS, plane=PLANES)
    def deny(self, caller: Caller, repo: RepoId, plane: Plane) -> None:
        self.gate.deny(caller, repo, plane, GATED)
        self.books[caller, repo, plane] = ("deny", self.clock.now)

    @rule(repo=REPOS)
    def forget(self, repo: RepoId) -> None:
        self.gate.forget(repo)
        self.books = {key: value for key, value in self.books.items() if key[1] != repo}

    @rule(seconds=st.sampled_from([0.5, 4.5, 5.0, 60.0, 119.0, 120.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def fresh(self, caller: Caller, repo: RepoId, plane: Plane) -> str | None:
        verdict, since = self.books.get((caller, repo, plane), ("", 0.0))
        age = self.clock.now - since
        return verdict if (verdict == "allow" and age < 120) or (verdict == "deny" and age < 5) else None

    @invariant()
    def agrees(self) -> None:
        for caller in (ANONYMOUS, ANN, BOB):
            for repo in (REPO, OTHER):
                for plane in Plane:
                    said = self.gate.standing(caller, repo, plane)
                    opening = {plane, Plane.FILES} if plane is Plane.CARD else {plane}
                    if any(self.fresh(who, repo, one) == "allow" for who in (ANONYMOUS, caller) for one in opening):
                        assert said is True
                    elif self.fresh(caller, repo, plane) == "deny":
                        assert isinstance(said, Denied)
                    else:
                        assert said is False


TestRightsAgainstPlainBooks = RightsAgainstPlainBooks.TestCase
TestRightsAgainstPlainBooks.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
