"""Rendezvous: slices move only to who comes and from who goes, and weights are kept."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.blob import BlobKey
from proxy.core.rendezvous import Candidate
from proxy.store.placement import homes, rank

KEY = BlobKey.sha256("7a" * 32)
weights = st.lists(st.integers(1, 1 << 44), min_size=1, max_size=8)


def disks_of(sizes: list[int]) -> list[Candidate]:
    return [Candidate(f"disk-{index}", size) for index, size in enumerate(sizes)]


@given(weights, st.integers(0, 10_000))
def test_rank_names_every_disk_once_whatever_their_order(sizes: list[int], index: int) -> None:
    disks = disks_of(sizes)
    assert sorted(rank(KEY, index, disks)) == sorted(disk.id for disk in disks)
    assert rank(KEY, index, disks) == rank(KEY, index, disks[::-1])


@given(weights, st.integers(0, 10_000), st.integers(0, 7))
def test_a_disk_that_goes_leaves_the_order_of_the_others(sizes: list[int], index: int, gone: int) -> None:
    disks = disks_of(sizes)
    name = disks[gone % len(disks)].id
    rest = [disk for disk in disks if disk.id != name]
    assert [disk for disk in rank(KEY, index, disks) if disk != name] == list(rank(KEY, index, rest) if rest else ())


def test_a_disk_of_three_times_the_size_gets_three_times_the_slices() -> None:
    disks = [Candidate("small", 1 << 40), Candidate("large", 3 << 40)]
    wins = Counter(rank(KEY, index, disks)[0] for index in range(20_000))
    assert 0.73 < wins["large"] / 20_000 < 0.77


def test_homes_are_the_firsts_in_rank() -> None:
    disks = disks_of([1 << 40] * 4)
    assert homes(KEY, 3, disks) == {rank(KEY, index, disks)[0] for index in range(3)}
    assert homes(KEY, 100_000, disks) == {disk.id for disk in disks}
