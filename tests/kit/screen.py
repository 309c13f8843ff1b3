"""A terminal of one's own: what a program shows on it, and keys pressed."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import termios
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from .nursery import ROOT
from .waiting import until


class Screen:
    """`text` is all that was shown so far; `press` types, `resize` tells the program of another size."""

    def __init__(self, fd: int) -> None:
        self.text = ""
        self._is_over = False
        self._fd = fd
        self.child: asyncio.subprocess.Process | None = None
        os.set_blocking(fd, False)
        asyncio.get_running_loop().add_reader(fd, self._read)

    def _read(self) -> None:
        try:
            content = os.read(self._fd, 65_536)
        except BlockingIOError:
            return
        except OSError:  # the other end is closed
            content = b""
        if not content:
            self._is_over = True
            asyncio.get_running_loop().remove_reader(self._fd)
        self.text += content.decode(errors="replace")

    def press(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def resize(self, lines: int, columns: int) -> None:
        """The kernel tells the program of it (SIGWINCH)."""
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    async def shows(self, words: str, *, after: int = 0, within: float = 15.0) -> None:
        """Wait until `words` are shown, not counting the first `after` characters."""
        try:
            await until(lambda: words in self.text[after:], f"{words!r} is shown", within)
        except AssertionError as error:
            raise AssertionError(f"{error}; what is shown: {self.text[after:][-2000:]!r}") from None

    async def ends(self, within: float = 15.0) -> int:
        """Wait until the program has ended and all it showed is in `text`: its exit code, negative for a signal."""
        await until(lambda: self._is_over, "the program lets go of the terminal", within)
        assert self.child is not None, "it was started"
        async with asyncio.timeout(within):
            return await self.child.wait()


@asynccontextmanager
async def on_screen(
    environment: Mapping[str, str], *words: str, lines: int = 40, columns: int = 120
) -> AsyncIterator[Screen]:
    """`words` run on a terminal of their own, of which they are the session leader; killed at the end."""
    ours, theirs = pty.openpty()
    screen = Screen(ours)
    try:
        screen.resize(lines, columns)
        screen.child = await asyncio.create_subprocess_exec(
            # Tests that were started in the background ignore Ctrl-C, and so would what they start.
            *("env", "--default-signal=INT", "setsid", "--ctty", "--wait", *words),
            env=environment,
            cwd=ROOT,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        yield screen
    finally:
        asyncio.get_running_loop().remove_reader(ours)
        if screen.child is not None and screen.child.returncode is None:
            with suppress(ProcessLookupError):
                screen.child.kill()
            await screen.child.wait()
        os.close(ours)
