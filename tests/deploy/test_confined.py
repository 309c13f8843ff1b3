"""What the image may not, put on a real node by bubblewrap: a read-only root, no root, no capability, no way out.

In place of a daemon. Inside, the network is the sandbox's own, so the node listens where the image lets it, and the
image's HEALTHCHECK is run word for word.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.kit.judges import DEPLOY, ROOT, environment, judge

DOCKERFILE = (DEPLOY / "docker" / "Dockerfile").read_text()
INSIDE = """
import json, os, signal, subprocess, sys, time
healthcheck = json.loads(sys.argv[1])
told = {"identity": [os.getuid(), os.getgid()], "before": subprocess.run(healthcheck, capture_output=True).returncode}
node = subprocess.Popen([sys.executable, "-m", "proxy.cli.main", "serve", "--origin", "http://127.0.0.1:9"])
deadline = time.monotonic() + 30
while (code := subprocess.run(healthcheck, capture_output=True).returncode) and time.monotonic() < deadline:
    time.sleep(0.1)
told["healthy"] = code
status = dict(line.split(":\\t", 1) for line in open(f"/proc/{node.pid}/status") if ":\\t" in line)
told["status"] = {name: status[name].strip() for name in ("CapEff", "CapPrm", "CapBnd", "NoNewPrivs")}
told["unwritable"] = []
for folder in ("/", "/etc", "/usr", os.environ["ROOT"]):
    try:
        open(f"{folder}/penstock-was-here", "w")
    except OSError as refusal:
        told["unwritable"].append(refusal.errno)
node.send_signal(signal.SIGTERM)
told["end"] = node.wait(30)
told["after"] = subprocess.run(healthcheck, capture_output=True).returncode
print("TOLD" + json.dumps(told))
"""
READ_ONLY, NOT_ALLOWED = 30, 13
"""EROFS, EACCES."""


def _healthcheck() -> list[str]:
    """The Dockerfile's, with our Python in place of the image's."""
    found = re.search(r"^HEALTHCHECK [^\n]*\\\n\s+CMD (\[.*\])$", DOCKERFILE, re.M)
    assert found is not None
    program, *words = json.loads(found[1])
    assert program == "python"
    return [sys.executable, *words]


def _settings() -> list[str]:
    """The image's environment."""
    return [word for name, text in re.findall(r"(PENSTOCK_\w+)=(\S+)", DOCKERFILE) for word in ("--setenv", name, text)]


def test_a_node_runs_with_no_more_than_the_image_gives_it(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    words = [
        *("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--tmpfs", "/var/cache"),
        *("--bind", str(cache), "/var/cache/penstock", "--ro-bind", str(ROOT), str(ROOT), "--chdir", str(ROOT)),
        *("--unshare-all", "--uid", "10001", "--gid", "10001", "--cap-drop", "ALL", "--die-with-parent", "--clearenv"),
        *("--setenv", "PYTHONDONTWRITEBYTECODE", "1", "--setenv", "ROOT", str(ROOT), *_settings()),
    ]
    done = subprocess.run(
        [judge("bwrap"), *words, sys.executable, "-c", INSIDE, json.dumps(_healthcheck())],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.rpartition("TOLD")[2])
    assert told["identity"] == [10001, 10001]
    assert told["before"] == 1
    assert told["healthy"] == 0, done.stderr
    assert told["status"] == {"CapEff": "0" * 16, "CapPrm": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1"}
    assert len(told["unwritable"]) == 4
    assert set(told["unwritable"]) <= {READ_ONLY, NOT_ALLOWED}
    assert told["end"] == 0
    assert told["after"] == 1
    assert {path.name for path in cache.iterdir()} >= {"blobs"}
