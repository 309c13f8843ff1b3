"""`make demo`: a synthetic Hub, the mirror in front of it, and the real client, cold and warm.

python -m bench.demo [--size 64MiB] [--bandwidth 100MB/s]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE = 60.0
DOWNLOAD = """
import sys, time
from pathlib import Path
from huggingface_hub import snapshot_download
began = time.perf_counter()
folder = Path(snapshot_download(sys.argv[1]))
seconds = time.perf_counter() - began
print(seconds, sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()))
"""


@dataclass(frozen=True, slots=True)
class Download:
    """One run of the client: how long, how many bytes, and where the mirror took them from."""

    seconds: float
    size: int
    sources: dict[str, int]
    from_origin: int


def main() -> int:
    given = _arguments()
    with tempfile.TemporaryDirectory(prefix="penstock-demo-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        hub = stack.enter_context(_started(_hub_command(given, folder), folder / "hub.json", folder / "hub.log"))
        print(f"a synthetic Hub serves on {hub['url']}, its bytes come from {hub['cdn_url']}")
        mirror = stack.enter_context(
            _started(_mirror_command(hub, folder), folder / "mirror.json", folder / "mirror.log")
        )
        print(f"the mirror serves on {mirror['data']}: export HF_ENDPOINT=http://{mirror['data']}\n")
        for what in ("cold", "warm"):
            _tell(what, _downloaded(given.repo, mirror, folder / f"home-{what}"))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A synthetic Hub, the mirror, the real client: cold and warm.")
    parser.add_argument("--size", default="64MiB", help="one shard of the model (64MiB)")
    parser.add_argument("--bandwidth", default="100MB/s", help="what the synthetic Hub's uplink gives (100MB/s)")
    parser.add_argument("--repo", default="acme/riverbed-7b", help="what to download")
    return parser.parse_args()


def _hub_command(given: argparse.Namespace, folder: Path) -> list[str]:
    command = [sys.executable, "-m", "bench.hub", "--listen", "127.0.0.1:0", "--cdn", "127.0.0.1:0", "--demo"]
    return [*command, "--size", given.size, "--bandwidth", given.bandwidth, "--ready-file", str(folder / "hub.json")]


def _mirror_command(hub: dict[str, Any], folder: Path) -> list[str]:
    command = [sys.executable, "-m", "proxy.cli.main", "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    command += ["--origin", hub["url"], "--origin-redirect-host", "127.0.0.1", "--origin-allow-private"]
    return [*command, "--disk", f"{folder}/disk=8GiB", "--access-log", "", "--ready-file", str(folder / "mirror.json")]


@contextlib.contextmanager
def _started(command: list[str], ready: Path, log: Path) -> Iterator[dict[str, Any]]:
    """The program, until it has written its ready file; ended by its own pid."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield _when_ready(process, command[2], ready, log)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _when_ready(process: subprocess.Popen[bytes], name: str, ready: Path, log: Path) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"error: {name} did not start:\n{log.read_text()}")
        time.sleep(0.02)
    return dict(json.loads(ready.read_bytes()))


def _downloaded(repo: str, mirror: dict[str, Any], home: Path) -> Download:
    before = _counters(mirror)
    environment = {**os.environ, "HF_ENDPOINT": f"http://{mirror['data']}", "HF_HOME": str(home)}
    environment["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    environment.pop("HF_TOKEN", None)
    done = subprocess.run(
        [sys.executable, "-c", DOWNLOAD, repo], env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"error: the client failed with exit code {done.returncode}")
    seconds, size = done.stdout.split()
    after = _counters(mirror)
    grown = {name: int(after[name] - before.get(name, 0.0)) for name in after}
    sources = {name.split('source="')[1].split('"')[0]: 0 for name in grown if "source=" in name}
    for name, count in grown.items():
        if "source=" in name:
            sources[name.split('source="')[1].split('"')[0]] += count
    from_origin = sum(count for name, count in grown.items() if name.startswith("penstock_upstream_bytes_total"))
    return Download(float(seconds), int(size), sources, from_origin)


def _counters(mirror: dict[str, Any]) -> dict[str, float]:
    """The byte counters of the mirror's /metrics."""
    with urllib.request.urlopen(f"http://{mirror['admin']}/metrics", timeout=PATIENCE) as page:
        lines = page.read().decode().splitlines()
    kept = (
        line.rpartition(" ")
        for line in lines
        if line.startswith(("penstock_response_bytes", "penstock_upstream_bytes"))
    )
    return {name: float(value) for name, _, value in kept}


def _tell(what: str, download: Download) -> None:
    rate = download.size / download.seconds / 1e6
    sources = ", ".join(f"{name} {count / 1e6:.1f} MB" for name, count in sorted(download.sources.items()) if count)
    print(f"{what}: {download.size / 1e6:.1f} MB in {download.seconds:.2f} s ({rate:.0f} MB/s)")
    print(f"      the mirror took them from: {sources or 'nothing'}")
    print(f"      bytes from the origin: {download.from_origin / 1e6:.1f} MB\n")


if __name__ == "__main__":
    raise SystemExit(main())
