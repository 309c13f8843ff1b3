"""The words of Cache-Status (RFC 9211)."""

from __future__ import annotations

import pytest

from proxy.fetch.coordinator import CacheOutcome
from proxy.front.cache_status import cache_status
from tests.front.fakes import FakeCoordinator, at_commit
from tests.front.node import serving


@pytest.mark.parametrize("outcome", CacheOutcome)
def test_every_outcome_has_its_words(outcome: CacheOutcome) -> None:
    name, *parameters = cache_status(outcome, unverified=True).split("; ")
    assert name == "penstock"
    assert len(parameters) == len({parameter.partition("=")[0] for parameter in parameters}), "a parameter came twice"
    assert any(parameter.startswith("detail=") for parameter in parameters)


@pytest.mark.parametrize(
    ("target", "status"),
    [(at_commit("none.bin"), 404), ("/-/livez", 200), ("/-/none", 404), ("http://else.test/", 400), ("/\x7f", 400)],
)
async def test_answers_of_our_own_carry_the_bare_name_and_a_request_id(
    coordinator: FakeCoordinator, target: str, status: int
) -> None:
    async with serving(coordinator) as node:
        answer = await node.ask(target)
    assert (answer.status, answer.headers["cache-status"]) == (status, "penstock")
    assert answer.headers["x-request-id"]
