"""A disk that hangs: a file system that was mounted, and whose server answers nothing any more (FUSE). Needs root."""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_DETACH: Final = 2
_REQUEST: Final = struct.Struct("<IIQQ")
_REPLY: Final = struct.Struct("<IiQ")
_WELCOME: Final = struct.Struct("<IIIIHHII32x")


@asynccontextmanager
async def hung_disk(folder: Path) -> AsyncIterator[Path]:
    """Whoever looks at `folder` waits until this ends (or is killed), and is then told that there is nobody."""
    folder.mkdir()
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    try:
        _mount(fd, folder)
        try:
            # The first word is answered, so that it counts as mounted; everything after it waits.
            asked = await asyncio.to_thread(os.read, fd, 1 << 17)
            _, _, name, _ = _REQUEST.unpack_from(asked)
            os.write(fd, _REPLY.pack(_REPLY.size + _WELCOME.size, 0, name) + _WELCOME.pack(7, 31, 0, 0, 8, 6, 65536, 1))
            yield folder
        finally:
            _LIBC.umount2(os.fsencode(folder), _DETACH)
    finally:
        os.close(fd)


def _mount(fd: int, folder: Path) -> None:
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if _LIBC.mount(b"penstock-test", os.fsencode(folder), b"fuse", 0, options) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(folder))
