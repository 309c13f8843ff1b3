"""Room on a disk: the decision, and the SQLite books against plain ones under any sequence of events."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from proxy.core.blob import BlobKey
from proxy.core.sizes import CHUNK, MIB
from proxy.store.index import Index, Promise
from proxy.store.layout import Entry
from proxy.store.ledger import Books, Evict, Full, Granted, Limits, Room, decide, excess, takes

amounts = st.integers(0, 1000)
PLENTY = Room(1 << 60, None)


@given(amounts, amounts, amounts, amounts, amounts, amounts, st.integers(0, 400))
def test_room_is_granted_only_within_the_hard_limit_and_above_the_floor(
    stored: int, reserved: int, soft: int, hard: int, floor: int, free: int, wanted: int
) -> None:
    books, limits = Books(stored, reserved), Limits(min(soft, hard), hard, floor)
    match decide(books, limits, Room(free, None), wanted):
        case Granted():
            assert stored + reserved + wanted <= hard
            assert free - reserved - wanted >= floor
        case Evict(size):
            assert 0 < size <= stored
            after = Books(stored - size, reserved)
            assert decide(after, limits, Room(free + size, None), wanted) == Granted()
        case Full():
            assert decide(Books(0, reserved), limits, Room(free + stored, None), wanted) != Granted()


def test_a_disk_without_free_inodes_makes_room_by_evicting() -> None:
    assert decide(Books(100, 0), Limits(900, 1000, 0), Room(1 << 40, 3), 1) == Evict(1)
    assert decide(Books(0, 0), Limits(900, 1000, 0), Room(1 << 40, 3), 1) == Full()


def test_quiet_eviction_goes_down_to_the_soft_limit() -> None:
    assert excess(Books(950, 20), Limits(900, 1000, 0), PLENTY) == 70
    assert excess(Books(800, 20), Limits(900, 1000, 0), PLENTY) == 0


@given(amounts, amounts, amounts, amounts, amounts)
def test_a_disk_takes_bytes_as_long_as_any_eviction_makes_room_for_a_chunk(
    stored: int, pinned: int, hard: int, floor: int, free: int
) -> None:
    """In MiB. What is pinned is all that is left once everything else is gone."""
    pinned = min(stored, pinned)
    limits = Limits(hard * MIB, hard * MIB, floor * MIB)
    left, room = Books(pinned * MIB, 0), Room((free + stored - pinned) * MIB, None)
    granted = decide(left, limits, room, CHUNK) == Granted()
    assert takes(Books(stored * MIB, 0), limits, Room(free * MIB, None), pinned * MIB) == granted


LIMITS = Limits(soft=800, hard=1000, floor=0)
numbers = st.integers(0, 4)


def entry(number: int) -> Entry:
    return Entry(BlobKey.sha256(f"{number:064x}"), small=False)


class BooksMachine(RuleBasedStateMachine):
    """Blobs come, are filled under promises, lose chunks, go; a worker dies and is cleaned up after."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.index = Index(f"{self.folder.name}/index.sqlite")
        self.index.open()
        self.files: dict[int, int] = {}
        self.promised: dict[int, tuple[int, int]] = {}

    def teardown(self) -> None:
        self.index.close()
        self.folder.cleanup()

    @rule(number=numbers)
    def come(self, number: int) -> None:
        self.index.add(entry(number), number)
        self.files.setdefault(number, 0)

    @rule(number=numbers, size=st.integers(1, 400))
    def reserve(self, number: int, size: int) -> None:
        if number not in self.files:
            return
        answer = self.index.reserve(Promise(0, 1, entry(number), number, 0, 1, size), LIMITS, PLENTY)
        if isinstance(answer, int):
            self.promised[answer] = (number, size)

    @rule(share=st.floats(0, 1), pick=st.integers(0, 100))
    def settle(self, share: float, pick: int) -> None:
        if not self.promised:
            return
        promise = sorted(self.promised)[pick % len(self.promised)]
        number, size = self.promised.pop(promise)
        gained = int(size * share)
        self.index.settle(promise, lambda: gained)
        if number in self.files:
            self.files[number] += gained

    @rule(number=numbers, ghost=st.booleans())
    def go(self, number: int, ghost: bool) -> None:
        assert self.index.remove(entry(number), ghost=ghost) == self.files.pop(number, 0)

    @rule(number=numbers, size=st.integers(0, 50))
    def recount(self, number: int, size: int) -> None:
        if number in self.files and size <= self.files[number]:
            self.index.recount(entry(number), number, lambda _promised: size)
            self.files[number] = size

    @rule()
    def open_again(self) -> None:
        self.index.close()
        self.index.open()

    @rule(number=numbers, other=st.integers(10, 12))
    def another_generation_comes_and_the_old_promises_count_for_nothing(self, number: int, other: int) -> None:
        if number not in self.files:
            return
        self.index.add(entry(number), other)
        mine = [promise for promise, (whose, _) in self.promised.items() if whose == number]
        for promise in mine:
            _, size = self.promised.pop(promise)
            self.index.settle(promise, lambda size=size: size)
        self.index.add(entry(number), number)
        self.files[number] = 0

    @invariant()
    def books_are_the_sum_of_what_is_there(self) -> None:
        totals = self.index.totals()
        assert totals.books.stored == sum(self.files.values())
        assert totals.books.reserved == sum(size for _, size in self.promised.values())
        assert totals.objects == len(self.files)
        assert totals.books.stored + totals.books.reserved <= LIMITS.hard
        assert dict(self.index.entries()) == {entry(n): s for n, s in self.files.items()}


BooksMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestBooks = BooksMachine.TestCase


def test_recount_leaves_out_what_is_still_promised(tmp_path: Path) -> None:
    index = Index(str(tmp_path / "index.sqlite"))
    index.open()
    index.add(entry(1), (1 << 64) - 1)
    promise = Promise(0, 1, entry(1), (1 << 64) - 1, 64, (1 << 63) | 1, 2)
    assert isinstance(index.reserve(promise, LIMITS, PLENTY), int)
    seen: list[list[int]] = []
    index.recount(entry(1), (1 << 64) - 1, lambda without: seen.append(without) or 7)  # type: ignore[func-returns-value]
    assert seen == [[64, 127]]
    index.close()


def test_an_evicted_blob_that_returns_enters_main(tmp_path: Path) -> None:
    index = Index(str(tmp_path / "index.sqlite"))
    index.open()
    index.add(entry(1), 1, size=10)
    index.remove(entry(1), ghost=True)
    index.add(entry(1), 2, size=10)
    small, main = index.heads()
    assert (len(small), len(main)) == (0, 1)
    index.close()


def test_pinned_blobs_are_not_at_the_head_of_any_queue(tmp_path: Path) -> None:
    index = Index(str(tmp_path / "index.sqlite"))
    index.open()
    index.add(entry(1), 1, size=10)
    index.pin(entry(1).key, pinned=True)
    assert index.heads() == ([], [])
    assert index.pinned_bytes() == 10
    index.pin(entry(1).key, pinned=False)
    assert len(index.heads()[0]) == 1
    index.close()
