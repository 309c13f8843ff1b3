"""Redirects of objects lead to places of the mirror's own, or are errors with words."""

from __future__ import annotations

import pytest

from proxy.core.errors import OriginLied
from proxy.fetch.coordinator import MovedTo
from proxy.front.object_answers import moved_to


def test_another_name_is_a_relative_redirect() -> None:
    answer = moved_to(MovedTo("/v2/acme/new/manifests/latest"))
    assert (answer.status, answer.headers[0]) == (307, ("Location", "/v2/acme/new/manifests/latest"))


def test_a_redirect_to_elsewhere_is_the_origin_s_mistake() -> None:
    with pytest.raises(OriginLied):
        moved_to(MovedTo(None))
