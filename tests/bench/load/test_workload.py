"""What clients want: from a seed, by popularity, new things first of all, and some things once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from bench.load import catalogue as catalogues
from bench.load.catalogue import Catalogue, Extent
from bench.load.workload import (
    Aborted,
    Act,
    Habits,
    HeadOnly,
    InRanges,
    Part,
    Resumed,
    Session,
    Slow,
    StyleName,
    Whole,
    Wishes,
    spans_of,
)

EXTENT = Extent(
    popular=40,
    releases=10,
    once=200,
    mean_bytes=200_000,
    sigma=1.0,
    most_bytes=5_000_000,
    shard_bytes=300_000,
    small_files=3,
    small_scale=0.01,
)
HABITS = Habits(
    acts=((Act.SNAPSHOT, 1.0),),
    styles=((StyleName.STREAM, 1.0),),
    alpha=1.0,
    release_share=0.0,
    once_share=0.0,
    release_every=5.0,
    half_lives=(5.0, 100.0),
    parallel=8,
    range_bytes=10_000,
    ranges_parallel=4,
    slow_rates=(1e6, 2e6),
    all_for_first=False,
)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return catalogues.drawn(EXTENT, seed=3)


def drawn(catalogue: Catalogue, habits: Habits, count: int = 2000, **part: int) -> list[Session]:
    wishes = Wishes(catalogue, habits, Random(5), **part)
    return [wishes.draw(at / 20) for at in range(count)]


def test_the_same_seed_draws_the_same_sessions(catalogue: Catalogue) -> None:
    assert drawn(catalogue, HABITS, 50) == drawn(catalogue, HABITS, 50)


def test_the_first_rank_is_wanted_as_often_as_zipf_says(catalogue: Catalogue) -> None:
    wanted = Counter(session.repo.id for session in drawn(catalogue, HABITS, 8000))
    harmonic = sum(1 / rank for rank in range(1, 41))
    assert wanted[catalogue.popular[0].id] / 8000 == pytest.approx(1 / harmonic, rel=0.1)


def test_a_herd_wants_one_repo(catalogue: Catalogue) -> None:
    assert {one.repo.id for one in drawn(catalogue, replace(HABITS, all_for_first=True))} == {catalogue.popular[0].id}


def test_what_is_wanted_once_is_wanted_once_by_all_processes_together(catalogue: Catalogue) -> None:
    habits = replace(HABITS, once_share=1.0)
    wanted = [session.repo for part in range(3) for session in drawn(catalogue, habits, 60, part=part, parts=3)]
    assert max(Counter(repo.id for repo in wanted).values()) == 1


def test_nobody_wants_a_release_that_is_not_born(catalogue: Catalogue) -> None:
    wishes = Wishes(catalogue, replace(HABITS, release_share=1.0), Random(5))
    assert {wishes.draw(1.0).repo for _ in range(200)} == {catalogue.releases[0]}


def test_interest_in_a_release_decays(catalogue: Catalogue) -> None:
    wishes = Wishes(catalogue, replace(HABITS, release_share=1.0), Random(5))
    wanted = Counter(wishes.draw(16.0).repo.id for _ in range(4000))
    counts = [wanted[repo.id] for repo in catalogue.releases[:4]]
    assert counts == sorted(counts)
    assert counts[3] / counts[2] == pytest.approx(2.0, rel=0.2)


def test_a_snapshot_reads_every_file_and_a_look_reads_none(catalogue: Catalogue) -> None:
    (read,) = drawn(catalogue, HABITS, 1)
    assert [wish.file for wish in read.wishes] == list(read.repo.files)
    assert read.opening
    (looked,) = drawn(catalogue, replace(HABITS, acts=((Act.LOOK, 1.0),)), 1)
    assert {wish.style for wish in looked.wishes} == {HeadOnly()}


@pytest.mark.parametrize(
    ("style", "kind"),
    [
        (StyleName.STREAM, Whole),
        (StyleName.RANGES, InRanges),
        (StyleName.RESUME, Resumed),
        (StyleName.ABORT, Aborted),
        (StyleName.SLOW, Slow),
    ],
)
def test_a_style_is_of_large_files_alone(catalogue: Catalogue, style: StyleName, kind: type) -> None:
    sessions = drawn(catalogue, replace(HABITS, styles=((style, 1.0),)), 20)
    wishes = [wish for session in sessions for wish in session.wishes]
    assert all(isinstance(wish.style, kind if wish.file.linked else Whole) for wish in wishes)
    assert any(wish.file.linked for wish in wishes)


def test_every_span_is_inside_its_file(catalogue: Catalogue) -> None:
    acts = ((Act.RANGE, 1.0), (Act.FILE, 1.0), (Act.SMALL, 1.0), (Act.HEAD, 1.0))
    styles = tuple((style, 1.0) for style in StyleName)
    for session in drawn(catalogue, replace(HABITS, acts=acts, styles=styles)):
        for wish in session.wishes:
            start, stop = spans_of(wish)
            assert 0 <= start <= stop <= wish.file.size
            assert not isinstance(wish.style, Part) or stop - start <= HABITS.range_bytes


def test_a_catalogue_is_the_same_when_it_is_read_back(catalogue: Catalogue) -> None:
    assert catalogues.from_plain(catalogues.to_plain(catalogue)) == catalogue


def test_sizes_have_the_mean_that_was_asked_for() -> None:
    many = catalogues.drawn(replace(EXTENT, popular=3000, once=0, small_files=0, most_bytes=1 << 40), seed=1)
    mean = sum(repo.size for repo in many.popular) / len(many.popular)
    assert mean == pytest.approx(EXTENT.mean_bytes, rel=0.15)


def test_no_shard_is_longer_than_its_limit(catalogue: Catalogue) -> None:
    assert max(file.size for repo in catalogue for file in repo.weights) <= EXTENT.shard_bytes


def test_commits_are_those_of_the_synthetic_hub(catalogue: Catalogue) -> None:
    assert len({repo.commit for repo in catalogue}) == len(list(catalogue))
    assert all(len(repo.commit) == 40 for repo in catalogue)
