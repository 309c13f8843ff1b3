"""Sending the pieces of a reading to the end, also when a disk fails underneath."""

from __future__ import annotations

from typing import Final

from proxy.core.errors import DiskFailed

from .delivery import Delivery, Unreadable, Writer
from .opened import Opened, close

RECOVERIES: Final = 16
"""Disk errors that one body survives; each costs a chunk fetched anew."""


async def deliver(delivery: Delivery, ready: Opened, response: Writer) -> None:
    """Send all pieces. When a disk cannot give what it has, the reading forgets it, fetches it anew, and goes on."""
    pieces = ready.pieces
    for _ in range(RECOVERIES):
        try:
            await delivery.send(pieces, response)
        except Unreadable as failed:
            assert ready.reading is not None, "what is in memory is on no disk"
            await close(pieces)
            await ready.reading.recover(failed.piece, failed.sent, failed.error)
            pieces = ready.reading.pieces()
        else:
            return
    raise DiskFailed(f"the disks failed {RECOVERIES} times under one body")
