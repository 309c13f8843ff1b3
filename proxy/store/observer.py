"""What the store tells those who count: telemetry listens, the store does not know it."""

from __future__ import annotations

from typing import Protocol

from .disk import DiskState


class StoreObserver(Protocol):
    """Called on the event loop; quick and without failure."""

    def written(self, disk: str, size: int) -> None:
        """`size` bytes of a fill are in the file."""
        ...

    def sealed(self, size: int) -> None:
        """A whole blob of `size` bytes was found right (small ones do not come here)."""
        ...

    def evicted(self, disk: str, size: int, age: float, reason: str) -> None:
        """A blob's `size` bytes made room, `age` seconds after it came. Reasons: "room", "trim", "prune"."""
        ...

    def corrupted(self, disk: str, found_by: str) -> None:
        """A chunk or a blob was wrong. Found by: "read" (CRC), "seal" (digest), "scrub"."""
        ...

    def scrubbed(self, size: int) -> None:
        """`size` bytes were read to see whether they are still right."""
        ...

    def dropped(self, reason: str) -> None:
        """A blob was dropped."""
        ...

    def disk_state(self, disk: str, state: DiskState, reason: str) -> None:
        """A disk left or came back."""
        ...


class NoObserver:
    """Nobody counts."""

    def written(self, disk: str, size: int) -> None: ...

    def sealed(self, size: int) -> None: ...

    def evicted(self, disk: str, size: int, age: float, reason: str) -> None: ...

    def corrupted(self, disk: str, found_by: str) -> None: ...

    def scrubbed(self, size: int) -> None: ...

    def dropped(self, reason: str) -> None: ...

    def disk_state(self, disk: str, state: DiskState, reason: str) -> None: ...
