"""One disk of the store with its names, its index and its locks: what is published there, and how it comes and goes.

The methods block and run in the disk's threads. What is published appears by one rename and goes by one, both under
the entry's *named lock* (held for moments, by any worker), so nobody meets half a blob:

* create: the index row, then `tmp/…` -> `blobs/…`.       Killed between: a row of 0 bytes, struck out when it is met.
* evict and drop: `blobs/…` -> `trash/…`, then the row.   Killed between: the next to open the disk empties the trash
  of dead workers and recounts what was in it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from proxy.core.blob import BlobKey, BlobRecord
from proxy.core.clock import Clock
from proxy.core.errors import SourceChanged
from proxy.core.manifest import LARGEST

from . import rangelock
from .chunkmap import READERS_BYTE, MapDamaged
from .disk import Disk
from .eviction import sweep
from .index import Index, Promise
from .layout import Entry, Layout, entries_of, entry_byte
from .ledger import Evict, Full, Limits, Room, excess
from .owned import Owns, holds_mostly_own
from .part import Part, create, open_part
from .presence import confirm_absent, confirm_here
from .syscalls import Syscalls, delete_tree, make_folder, read_all, write_all

MANIFEST: Final = "manifest"
"""The file of that name beside a part: what its slices have to hash to."""

_STRIPES: Final = 64
_VICTIMS: Final = 64
"""Most blobs evicted in one call, so that it is never taken for a hung one."""


def proven_otherwise(sealed: BlobRecord) -> SourceChanged:
    """What is said of a record that contradicts a sealed one."""
    return SourceChanged(
        f"the bytes of this digest are known, and there are {sealed.size} of them, not as many as said"
    )


@dataclass(frozen=True, slots=True)
class Evicted:
    """A blob that made room: bytes, and seconds since it came (wall clock)."""

    size: int
    age: float


@dataclass(frozen=True, slots=True)
class Rotten:
    """A small blob was here and was wrong; it is gone."""


class Shelf:
    """See above. Made and opened by `recovery.open_shelf`, which takes the disk for this node and worker."""

    def __init__(
        self, disk: Disk, layout: Layout, index: Index, *, worker: int, boot: bytes, clock: Clock, lock_fd: int
    ) -> None:
        self.disk = disk
        self.layout = layout
        self.index = index
        self.worker = worker
        self.boot = boot
        self.clock = clock
        self.lock_fd = lock_fd
        self.limits = Limits(0, 0, 0)
        self.limits_of: Callable[[int], Limits] = lambda _ours: self.limits
        self.owns: Owns | None = None
        self._books_counted = False
        self.live: set[int] = set()
        """Promises that somebody in this process will settle. Changed on the loop."""
        self._stripes = tuple(threading.Lock() for _ in range(_STRIPES))

    @property
    def calls(self) -> Syscalls:
        return self.disk.calls

    @contextlib.contextmanager
    def named_lock(self, entry: Entry) -> Iterator[None]:
        """The right to look at and change what is published as `entry`; one holder on the node."""
        byte = entry_byte(entry)
        # Two threads of this process share the open file, so the kernel would let both in: hence the stripe.
        with self._stripes[byte % _STRIPES]:
            rangelock.lock(self.lock_fd, byte)
            try:
                yield
            finally:
                rangelock.unlock(self.lock_fd, byte)

    def _confirm_here(self) -> None:
        confirm_here(self.calls, self.layout, self.lock_fd)

    def _confirm_absent(self, missed: str) -> None:
        confirm_absent(self.calls, self.layout, self.lock_fd, missed)

    def room(self) -> Room:
        """What the file system says. Raises OSError, ENODEV when the disk is no longer there."""
        self._confirm_here()
        found = self.calls.statvfs(self.layout.identity)
        return Room(found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None)

    def try_out(self) -> None:
        """Write, sync, read and delete a file: whether the disk works. Raises OSError."""
        self._confirm_here()
        path = self.layout.temporary(self.worker, secrets.token_hex(8))
        try:
            self._write_file(path, b"probe")
            fd = self.calls.open(path, os.O_RDONLY)
            try:
                if read_all(self.calls, fd, 16, 0) != b"probe":
                    raise OSError(errno.EIO, "it reads back what was not written")
            finally:
                os.close(fd)
        finally:
            delete_tree(self.calls, path)

    # --- parts of large blobs -----------------------------------------------------------------------------------

    def open(self, record: BlobRecord, *, make: bool) -> Part | None:
        """The part of `record` on this disk; made when there is none and `make`, else None.

        What lies there and is damaged, dropped, or of another generation is dropped first. Raises OSError, and
        SourceChanged when the part is sealed and cannot be what `record` says."""
        entry = Entry(record.key, small=False)
        place = self.layout.place(entry)
        with self.named_lock(entry):
            part = self._open_ours(entry, place, record)
            if part is not None or not make:
                return part
            self._confirm_absent(f"{place}/map")
            self._create(entry, place, record)
            part = open_part(self.disk, place, self.boot)
        assert part is not None, "what was made under the lock is there"
        return part

    def _open_ours(self, entry: Entry, place: str, record: BlobRecord) -> Part | None:
        try:
            part = open_part(self.disk, place, self.boot)
        except MapDamaged:
            self._unpublish(entry, place)
            return None
        if part is None:
            return None
        there = part.map.record
        same = (there.key, there.size, there.validator) == (record.key, record.size, record.validator)
        if same and not part.map.dropped:
            return part
        if there.contradicts(record) and part.map.sealed and not part.map.dropped:
            part.close()
            raise proven_otherwise(there)
        part.map.drop()
        part.close()
        self._unpublish(entry, place)
        return None

    def _create(self, entry: Entry, place: str, record: BlobRecord) -> None:
        generation = secrets.randbits(64)
        temporary = self.layout.temporary(self.worker, secrets.token_hex(8))
        self.index.add(entry, generation, now=self.clock.wall())
        try:
            create(self.calls, temporary, record, generation, self.boot)
            make_folder(self.calls, os.path.dirname(place))
            self.calls.rename(temporary, place)
        except OSError:
            with contextlib.suppress(OSError):
                delete_tree(self.calls, temporary)
            raise

    def drop(self, part: Part) -> None:
        """Forget the part: every worker that has it open sees it, nobody opens it again."""
        entry = Entry(part.map.record.key, small=False)
        place = self.layout.place(entry)
        part.map.drop()
        with self.named_lock(entry):
            if part.is_at(self.calls, place):
                self._unpublish(entry, place)

    def keep_manifest(self, part: Part, content: bytes) -> None:
        """Put `content` beside the part, to go when it goes. Raises OSError."""
        entry = Entry(part.map.record.key, small=False)
        place, temporary = self.layout.place(entry), self.layout.temporary(self.worker, secrets.token_hex(8))
        try:
            self._write_file(temporary, content)
            with self.named_lock(entry):
                if part.is_at(self.calls, place):
                    self.calls.rename(temporary, f"{place}/{MANIFEST}")
                    return
        except BaseException:
            with contextlib.suppress(OSError):
                delete_tree(self.calls, temporary)
            raise
        delete_tree(self.calls, temporary)

    def manifest_beside(self, part: Part) -> bytes | None:
        """What `keep_manifest` put there. Raises OSError."""
        place = self.layout.place(Entry(part.map.record.key, small=False))
        try:
            fd = self.calls.open(f"{place}/{MANIFEST}", os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            return read_all(self.calls, fd, min(LARGEST, self.calls.fstat(fd).st_size), 0)
        finally:
            os.close(fd)

    def recount(self, part: Part) -> None:
        """Book the part's bytes anew, after chunks were lost."""
        entry = Entry(part.map.record.key, small=False)
        with self.named_lock(entry):
            if part.is_at(self.calls, self.layout.place(entry)):
                self.index.recount(entry, part.map.generation, part.map.bytes_kept, self.clock.wall())

    # --- small blobs --------------------------------------------------------------------------------------------

    def open_small(self, key: BlobKey) -> tuple[int, int] | Rotten | None:
        """Descriptor and length of the small blob `key`, locked against eviction; None when it is not here.

        A file last found right before this boot is hashed again first; a wrong one goes. Raises OSError."""
        entry = Entry(key, small=True)
        place = self.layout.place(entry)
        with self.named_lock(entry):
            try:
                fd = self.calls.open(place, os.O_RDONLY)
            except FileNotFoundError:
                return None
            try:
                rangelock.lock(fd, READERS_BYTE, shared=True)
            except BaseException:
                os.close(fd)
                raise
        try:
            size = self.calls.fstat(fd).st_size
            is_right = self._is_right(entry, fd)
        except BaseException:
            os.close(fd)
            raise
        if is_right:
            return fd, size
        os.close(fd)
        with self.named_lock(entry):
            self._unpublish(entry, place)
        return Rotten()

    def _is_right(self, entry: Entry, fd: int) -> bool:
        found = self.calls.fstat(fd)
        if found.st_mtime >= boot_time():
            return True
        if hashlib.sha256(read_all(self.calls, fd, found.st_size, 0)).hexdigest() != entry.key.hex:
            return False
        with contextlib.suppress(OSError):
            self.calls.touch(fd)
        return True

    def put_small(self, key: BlobKey, content: bytes, promise: int) -> None:
        """Publish `content`, for which `promise` was booked: on the disk before it has its name. Raises OSError."""
        entry = Entry(key, small=True)
        temporary = self.layout.temporary(self.worker, secrets.token_hex(8))
        try:
            self._write_file(temporary, content)
            with self.named_lock(entry):
                self._confirm_here()
                self._publish_small(entry, temporary)
                self.index.publish(promise, entry, len(content), self.clock.wall())
        except BaseException:
            with contextlib.suppress(OSError):
                delete_tree(self.calls, temporary)
            raise

    def _write_file(self, path: str, content: bytes) -> None:
        fd = self.calls.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            write_all(self.calls, fd, [content], 0)
            self.calls.fdatasync(fd)
        finally:
            os.close(fd)

    def _publish_small(self, entry: Entry, temporary: str) -> None:
        place = self.layout.place(entry)
        try:
            self.calls.stat(place)
        except FileNotFoundError:
            make_folder(self.calls, os.path.dirname(place))
            self.calls.rename(temporary, place)
        else:  # the same bytes are there already
            self.calls.unlink(temporary)

    # --- room ---------------------------------------------------------------------------------------------------

    def reserve(self, wanted: Promise) -> int | Evict | Full:
        """Book room: the promise's id, or what is in the way. Raises OSError."""
        room = self.room()
        self.review_limits(room)
        return self.index.reserve(wanted, self.limits, room)

    def excess(self) -> int:
        """How many bytes a quiet moment should evict. Raises OSError."""
        room = self.room()
        self.review_limits(room)
        return excess(self.index.totals().books, self.limits, room)

    def review_limits(self, room: Room) -> None:
        """While the books are being counted the limits follow the count: what is stored and not booked yet is not free,
        and must not look like a disk that has become smaller. Raises OSError."""
        if self._books_counted:
            return
        totals = self.index.totals()
        self.limits = self.limits_of(room.free + totals.books.stored)
        self._books_counted = totals.rebuilt

    def settle_entry(self, entry: Entry) -> None:
        """Make the books of one entry say what is on the disk. Raises OSError."""
        place = self.layout.place(entry)
        with self.named_lock(entry):
            if entry.small:
                self._settle_small(entry, place)
            else:
                self._settle_large(entry, place)

    def _settle_small(self, entry: Entry, place: str) -> None:
        try:
            size = self.calls.stat(place).st_size
        except FileNotFoundError:
            self._strike_out(entry, place)
            return
        self.index.recount(entry, 0, lambda _without: size, self.clock.wall())

    def _settle_large(self, entry: Entry, place: str) -> None:
        try:
            part = open_part(self.disk, place, self.boot)
        except MapDamaged:
            self._unpublish(entry, place)
            return
        if part is None:
            self._strike_out(entry, f"{place}/map")
            return
        try:
            if part.map.dropped:
                self._unpublish(entry, place)
            else:
                self.index.recount(entry, part.map.generation, part.map.bytes_kept, self.clock.wall())
        finally:
            part.close()

    def evict(self, wanted: int) -> list[Evicted] | None:
        """One sweep towards `wanted` bytes, of few enough blobs not to take long; who went, or None when nothing can be
        gained any more. Raises OSError."""
        totals = self.index.totals()
        small, main = self.index.heads()
        plan = sweep(
            small,
            main,
            small_bytes=totals.small_bytes,
            stored=totals.books.stored,
            wanted=wanted,
            at_most=_VICTIMS,
            stays=self._is_owned,
        )
        if not plan.victims and not plan.to_main:
            return None
        self.index.move(plan)
        outcomes = [(row.entry, self._evict_one(row.entry)) for row in plan.victims]
        busy = [entry for entry, gone in outcomes if gone is None]
        if busy:
            self.index.send_back(busy)
        return [gone for _, gone in outcomes if gone is not None]

    def _is_owned(self, entry: Entry) -> bool:
        if self.owns is None:
            return False
        if entry.small:
            return self.owns(entry.key, 0)
        return holds_mostly_own(self.disk, self.layout.place(entry), self.boot, self.owns)

    def _evict_one(self, entry: Entry) -> Evicted | None:
        """Unpublish and delete one blob; None when it is open in any worker."""
        place = self.layout.place(entry)
        guard = place if entry.small else f"{place}/map"
        with self.named_lock(entry):
            try:
                fd = self.calls.open(guard, os.O_RDWR)
            except FileNotFoundError:  # nothing there, or a folder without its map
                return Evicted(self._unpublish(entry, place), 0.0)
            try:
                if not rangelock.try_lock(fd, READERS_BYTE):
                    return None
                entered = self.index.entered(entry)
                size = self._unpublish(entry, place, ghost=True)
            finally:
                os.close(fd)
        now = self.clock.wall()
        return Evicted(size, max(0.0, now - (now if entered is None else entered)))

    def _unpublish(self, entry: Entry, place: str, *, ghost: bool = False) -> int:
        """Under the named lock: take what is at `place` away, delete it; the bytes it was booked with."""
        trash = self.layout.trash(self.worker, entry, secrets.token_hex(8))
        try:
            self.calls.rename(place, trash)
        except FileNotFoundError:
            return self._strike_out(entry, place, ghost=ghost)
        size = self.index.remove(entry, ghost=ghost)
        delete_tree(self.calls, trash)
        return size

    def _strike_out(self, entry: Entry, missed: str, *, ghost: bool = False) -> int:
        """Under the named lock, when `missed` was not found: out of the books; what it was booked with."""
        self._confirm_absent(missed)
        return self.index.remove(entry, ghost=ghost)

    def holds(self, key: BlobKey) -> bool:
        """Whether anything is kept under `key`: all of a small blob, some of a large one."""
        for entry in entries_of(key):
            with contextlib.suppress(FileNotFoundError):
                self.calls.stat(self.layout.place(entry))
                return True
        return False

    def forget(self, key: BlobKey) -> None:
        """Drop whatever is kept under `key`, open or not."""
        for entry in entries_of(key):
            place = self.layout.place(entry)
            with self.named_lock(entry):
                if not entry.small:
                    with contextlib.suppress(MapDamaged):
                        self._flag_dropped(place)
                self._unpublish(entry, place)

    def _flag_dropped(self, place: str) -> None:
        part = open_part(self.disk, place, self.boot)
        if part is not None:
            part.map.drop()
            part.close()


@functools.cache
def boot_time() -> float:
    """When (wall clock, seconds) the machine came up, as the kernel reckons it at the first call."""
    with open("/proc/stat", "rb") as stat:
        return next(float(line.split()[1]) for line in stat if line.startswith(b"btime"))
