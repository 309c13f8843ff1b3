"""Files that are held in memory, and those that are not."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.peers.memory import held

HOLD = "import sys, pathlib; from bench.peers.memory import held\nwith held(pathlib.Path(sys.argv[1])) as n: print(n)"


def locked() -> int:
    """Bytes that this process has locked."""
    found = re.search(r"VmLck:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def test_the_files_of_a_cache_are_locked_until_the_end(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "whole").write_bytes(os.urandom(64 << 10))
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "whole")
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(64 << 20)
    before = locked()
    with held(tmp_path) as count:
        assert count == 64 << 10
        assert locked() == before + (64 << 10)
    assert locked() == before


def test_who_may_not_hold_them_all_holds_none() -> None:
    script = f"import resource; resource.setrlimit({resource.RLIMIT_MEMLOCK}, (65536, 65536))\n"
    if os.geteuid() == 0:  # whom no limit stops
        script += "import os; os.setuid(65534)\n"
    with tempfile.TemporaryDirectory(prefix="penstock-held-") as name:
        Path(name).chmod(0o755)  # for whoever that is
        (Path(name) / "large").write_bytes(bytes(1 << 20))
        command = [sys.executable, "-c", f"from bench.peers.memory import held\n{script}{HOLD}", name]
        said = subprocess.run(command, check=True, capture_output=True, text=True)
    assert said.stdout.strip() == "None"
