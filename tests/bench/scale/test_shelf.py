"""The shelf of a simulated node: the same queues as those of the store."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from bench.scale.shelf import Blob, Recent, Shelf
from proxy.core.blob import BlobKey
from proxy.store.eviction import sweep
from proxy.store.index import Index
from proxy.store.layout import Entry
from proxy.store.ledger import Books, Limits, Room, excess

SOFT = 0.95


def blob(number: int, size: int = 10) -> Blob:
    return Blob(Entry(BlobKey.sha256(f"{number:064x}"), small=False), size)


def put(shelf: Shelf, one: Blob, now: float) -> None:
    """Read it, and bring what is missing."""
    kept = shelf.open(one, now)
    if not kept.slices:
        shelf.grow(kept, 0, one.size, now)


def here(shelf: Shelf, blobs: list[Blob]) -> list[int]:
    return [number for number, one in enumerate(blobs) if shelf.has(one, 0)]


def test_who_is_read_again_outlives_many_who_are_read_once() -> None:
    shelf, regular = Shelf(100), blob(0)
    for now in range(3):
        put(shelf, regular, now)
    for number in range(1, 50):
        put(shelf, blob(number), 10.0 + number)
    assert shelf.has(regular, 0)


def test_two_readings_in_one_second_count_as_one() -> None:
    shelf, regular = Shelf(100), blob(0)
    put(shelf, regular, 1.1)
    put(shelf, regular, 1.9)
    for number in range(1, 50):
        put(shelf, blob(number), 10.0 + number)
    assert not shelf.has(regular, 0)


def test_who_is_being_read_stays() -> None:
    shelf, read = Shelf(100), blob(0)
    put(shelf, read, 0.0)
    shelf.open(read, 0.0).readers += 1
    for number in range(1, 50):
        put(shelf, blob(number), float(number))
    assert shelf.has(read, 0)


def test_nothing_is_kept_above_the_limit() -> None:
    shelf, chance = Shelf(100), Random(1)
    blobs = [blob(number, chance.randrange(1, 40)) for number in range(60)]
    for number in range(500):
        put(shelf, chance.choice(blobs), number / 7)
        assert shelf.stored <= 100


def test_of_recent_the_longest_unread_goes() -> None:
    shelf, blobs = Recent(100, soft=1.0), [blob(number) for number in range(11)]
    for number in range(10):
        put(shelf, blobs[number], float(number))
    put(shelf, blobs[0], 10.0)
    put(shelf, blobs[10], 11.0)
    assert here(shelf, blobs) == [0, *range(2, 11)]


@pytest.mark.parametrize("seed", range(4))
def test_it_keeps_what_the_index_of_a_disk_keeps(seed: int, tmp_path: Path) -> None:
    blobs = [blob(number, size=1 + number % 7) for number in range(80)]
    shelf, index, chance = Shelf(120, soft=SOFT), Index(str(tmp_path / "index.sqlite")), Random(seed)
    index.open()
    for now in range(400):
        one = blobs[min(int(chance.paretovariate(0.6)), len(blobs)) - 1]
        put(shelf, one, float(now))
        put_in_index(index, one, 120)
        assert here(shelf, blobs) == [number for number, other in enumerate(blobs) if index.booked(other.entry)]
    assert len(here(shelf, blobs)) < 60
    index.close()


def put_in_index(index: Index, one: Blob, room: int) -> None:
    """What `BlobStore` and `Upkeep` do to it when a second passes after each reading."""
    if not index.booked(one.entry):
        index.add(one.entry, 1)
        index.touch([one.entry])
        index.recount(one.entry, 1, lambda _promised: one.size)
        evict_from(index, one, room)
    else:
        index.touch([one.entry])


def evict_from(index: Index, being_read: Blob, room: int) -> None:
    while True:
        totals = index.totals()
        over = excess(Books(totals.books.stored, 0), Limits(int(room * SOFT), room, 0), Room(1 << 62, None))
        if not over:
            return
        small, main = index.heads()
        plan = sweep(small, main, small_bytes=totals.small_bytes, stored=totals.books.stored, wanted=over, at_most=128)
        index.move(plan)
        for row in plan.victims:
            if row.entry == being_read.entry:
                index.send_back([row.entry])
            else:
                index.remove(row.entry, ghost=True)
