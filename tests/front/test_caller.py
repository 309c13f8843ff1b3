"""Who asks."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import OriginRefused
from proxy.front.caller import caller_of
from tests.front.fakes import FakeCoordinator, at_commit
from tests.front.node import serving

KEY = b"k" * 32


def _basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


@pytest.mark.parametrize("field", [None, "", "  "])
def test_no_credentials_are_nobody(field: str | None) -> None:
    assert caller_of(field, KEY).is_anonymous


@pytest.mark.parametrize("field", ["Bearer hf_a", "bearer  hf_a ", _basic("user:hf_a"), _basic("hf_a:")])
def test_one_token_is_one_caller_however_it_is_sent(field: str) -> None:
    caller = caller_of(field, KEY)
    assert caller.token is not None
    assert caller.token.reveal() == "hf_a"
    assert caller == caller_of("Bearer hf_a", KEY)
    assert caller != caller_of("Bearer hf_b", KEY)


@pytest.mark.parametrize(
    "field", ["Bearer", "Bearer a b", "Digest x", "hf_a", "Basic !!!", _basic(":"), "Bearer \xe4", "Basic \xe4"]
)
def test_unusable_credentials_are_refused_as_the_hub_does(field: str) -> None:
    with pytest.raises(OriginRefused, match="Invalid credentials in Authorization header") as caught:
        caller_of(field, KEY)
    assert caught.value.status == 401


@given(st.text(max_size=80))
def test_any_field_makes_a_caller_or_a_refusal(field: str) -> None:
    with contextlib.suppress(OriginRefused):
        assert caller_of(field, KEY).is_anonymous == (not field.strip())


async def test_bad_token_is_a_401_without_a_code(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator) as node:
        answer = await node.ask(at_commit("a.bin"), "Authorization: Digest x")
    assert answer.status == 401
    assert "x-error-code" not in answer.headers
    assert coordinator.calls == []


async def test_token_reaches_the_coordinator_and_no_answer(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator) as node:
        answer = await node.ask(at_commit("a.bin"), "Authorization: Bearer hf_canary")
        account = await node.books.settled()
    assert coordinator.callers[0].token is not None
    assert "hf_canary" not in repr(answer) + repr(account) + repr(coordinator.callers)
