"""What the workers of a node tell one another of the bytes that are on their way."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy.core.blob import BlobKey
from proxy.core.sizes import CHUNK
from proxy.core.spans import Span
from proxy.store.forecasts import Forecast, Forecasts

KEY, OTHER = BlobKey.sha256("a" * 64), BlobKey.sha256("b" * 64)
HOLDER = """
import sys
from pathlib import Path
from proxy.core.blob import BlobKey
from proxy.core.spans import Span
from proxy.store.forecasts import Forecasts
with Forecasts.open(Path(sys.argv[1])) as forecasts:
    forecasts.of(BlobKey.sha256("a" * 64)).say(Span(0, 10 << 20))
    print("said", flush=True)
    sys.stdin.read()
"""


def chunks(first: int, stop: int) -> Span:
    return Span(first * CHUNK, stop * CHUNK)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Forecasts, Forecasts]]:
    with ExitStack() as stack:
        ours, theirs = [stack.enter_context(Forecasts.open(tmp_path / "forecasts")) for _ in range(2)]
        yield ours, theirs
    assert (tmp_path / "forecasts").stat().st_size == 0


@pytest.fixture
def ours(pair: tuple[Forecasts, Forecasts]) -> Forecast:
    return pair[0].of(KEY)


@pytest.fixture
def theirs(pair: tuple[Forecasts, Forecasts]) -> Forecast:
    return pair[1].of(KEY)


def test_the_others_see_where_an_answer_stands_and_who_reads_it_does_not(ours: Forecast, theirs: Forecast) -> None:
    ours.say(Span(3 * CHUNK, 10 * CHUNK + 5))
    fronts = [theirs.front(chunk * CHUNK) for chunk in (2, 3, 10, 11)]
    assert fronts == [None, 3 * CHUNK, 3 * CHUNK, None]
    assert ours.front(5 * CHUNK) is None
    ours.unsay(chunks(3, 6))
    assert [theirs.front(chunk * CHUNK) for chunk in (5, 6)] == [None, 6 * CHUNK]


def test_what_was_said_of_one_blob_is_not_said_of_another(pair: tuple[Forecasts, Forecasts]) -> None:
    pair[0].of(KEY).say(chunks(0, 100))
    assert pair[1].of(OTHER).front(0) is None


def test_two_answers_may_bring_the_same(ours: Forecast, theirs: Forecast) -> None:
    ours.say(chunks(0, 10))
    theirs.say(chunks(5, 15))
    assert (ours.front(7 * CHUNK), theirs.front(7 * CHUNK)) == (5 * CHUNK, 0)


@pytest.mark.parametrize(("said", "ahead"), [((5, 9), 5), ((2, 5), 8), ((8, 9), 8), ((0, 20), 8)])
def test_a_request_ends_where_what_another_brings_begins(
    ours: Forecast, theirs: Forecast, said: tuple[int, int], ahead: int
) -> None:
    """One that has begun before goes on beside it."""
    theirs.say(chunks(*said))
    assert ours.ahead(chunks(2, 8)) == ahead * CHUNK


def test_nothing_unsaid_is_nothing(ours: Forecast, theirs: Forecast) -> None:
    """To the kernel a range of no byte is one without an end."""
    ours.say(chunks(0, 3))
    ours.unsay(Span(0, 0))
    assert theirs.front(0) == 0


def test_readers_are_seen_by_the_others(ours: Forecast, theirs: Forecast) -> None:
    ours.read(here=True)
    assert (theirs.is_read_elsewhere, ours.is_read_elsewhere, theirs.front(0)) == (True, False, None)
    ours.read(here=False)
    assert not theirs.is_read_elsewhere


async def test_what_a_killed_worker_has_said_is_unsaid(tmp_path: Path) -> None:
    holder = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        HOLDER,
        str(tmp_path / "forecasts"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"said\n"
    with Forecasts.open(tmp_path / "forecasts") as forecasts:
        assert forecasts.of(KEY).front(CHUNK) == 0
        holder.kill()
        await holder.wait()
        assert forecasts.of(KEY).front(CHUNK) is None


def test_a_lock_that_cannot_be_given_back_ends_no_body(tmp_path: Path) -> None:
    with Forecasts.open(tmp_path / "forecasts") as forecasts:
        forecast = forecasts.of(KEY)
        forecast.say(chunks(0, 4))
    forecast.unsay(chunks(0, 1))
    forecast.read(here=False)
