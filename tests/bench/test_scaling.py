"""What grows, small: real curves of a real mirror need minutes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from bench import scaling, stand
from bench.rushing import Kind, rushed
from bench.scaling import FILE, small_and_ranged, told
from proxy.core.sizes import MIB

SIZE = 2 * MIB


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stand.Mirror]:
    folder = tmp_path_factory.mktemp("scaling")
    models = ("--model", f"acme/small:{FILE}=700", "--model", f"acme/large:{FILE}={SIZE}")
    with stand.hub(folder, *models) as hub, stand.mirror(folder, str(hub["url"])) as serving:
        yield serving


def test_a_request_of_each_kind_has_its_cost(mirror: stand.Mirror) -> None:
    small, ranged = uvloop.run(small_and_ranged(mirror, ("acme/large", SIZE), requests=20))
    assert 0 < small < 1e6
    assert 0 < ranged < 1e6


@pytest.mark.parametrize(
    "kind", [Kind("small", "acme/small", FILE, 700, ("Cookie: a=b",)), Kind("large", "acme/large", FILE, SIZE)]
)
def test_a_rush_has_its_rate_and_what_it_took(mirror: stand.Mirror, kind: Kind) -> None:
    rate, ours, theirs = rushed(mirror, kind, [None, None], 0.2)
    assert rate > 0
    assert ours > 0
    assert theirs > 0


def test_curves_are_told_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told("blobs stored", {"GET of 700 bytes": [(1000, 12.4), (1_000_000, 13.6)]}, tmp_path / "new", "blobs.svg")
    assert "| GET of 700 bytes, µs of CPU | 12 | 14 |" in capsys.readouterr().out
    assert "blobs stored" in (tmp_path / "new" / "blobs.svg").read_text()


def test_every_connection_is_some_workers(mirror: stand.Mirror) -> None:
    assert uvloop.run(scaling.spread(mirror, 5)) == [5]
