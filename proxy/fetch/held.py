"""A large file that is kept open from one reader to the next."""

from __future__ import annotations

from .ports import LentBlob
from .reading import ByteSource, FilePiece


class HeldBlob:
    """See `coordinator.HeldFile`. Made of a blob that was held for it once."""

    def __init__(self, blob: LentBlob) -> None:
        self._blob = blob

    @property
    def dropped(self) -> bool:
        return self._blob.dropped

    def piece(self, offset: int, stop: int) -> FilePiece | None:
        # That is lost with a disk, or with a chunk that was found bad.
        if not self._blob.is_right or self._blob.dropped:
            return None
        extent = self._blob.readable(offset, stop)
        if extent is None:
            return None
        return FilePiece(extent.fd, extent.offset, extent.length, extent.disk, ByteSource.DISK)

    def hold(self) -> None:
        self._blob.hold()

    def release(self) -> None:
        self._blob.release()
