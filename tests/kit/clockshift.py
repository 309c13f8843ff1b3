"""The wall clock of one program, set forward and back while it runs."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

from tests.kit.tools import needed

SOURCE = Path(__file__).with_name("clockshift.c")


class ClockShift:
    """`environment` makes a program started with it go by the shifted clock; `set` takes hold at once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "shift"
        self._library = folder / "clockshift.so"
        self.set(0.0)
        words = [needed("cc"), "-shared", "-fPIC", "-O1", "-o", str(self._library), str(SOURCE), "-ldl"]
        subprocess.run(words, check=True, timeout=60)

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "CLOCK_SHIFT": str(self._file)}

    def set(self, seconds: float) -> None:
        """The clock is `seconds` ahead (behind, when negative) of the true one from now on."""
        content = struct.pack("q", round(seconds * 1e6))
        if self._file.exists():
            with self._file.open("r+b") as file:
                file.write(content)
        else:
            self._file.write_bytes(content)
