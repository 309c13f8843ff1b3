"""`make demo`: a synthetic Hub, the mirror in front of it, and the real client, cold and warm.

python -m bench.demo [--size 64MiB] [--bandwidth 100MB/s]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import stand

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
    uplink = ("--demo", "--size", given.size, "--bandwidth", given.bandwidth)
    with tempfile.TemporaryDirectory(prefix="penstock-demo-") as name:
        folder = Path(name)
        with stand.hub(folder, *uplink) as hub, stand.mirror(folder, hub["url"]) as mirror:
            print(f"a synthetic Hub serves on {hub['url']}, its bytes come from {hub['cdn_url']}")
            print(f"the mirror serves: export HF_ENDPOINT={mirror.endpoint}\n")
            for what in ("cold", "warm"):
                _tell(what, downloaded(given.repo, mirror, folder / f"home-{what}"))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A synthetic Hub, the mirror, the real client: cold and warm.")
    parser.add_argument("--size", default="64MiB", help="one shard of the model (64MiB)")
    parser.add_argument("--bandwidth", default="100MB/s", help="what the synthetic Hub's uplink gives (100MB/s)")
    parser.add_argument("--repo", default="acme/riverbed-7b", help="what to download")
    return parser.parse_args()


def downloaded(repo: str, mirror: stand.Mirror, home: Path) -> Download:
    """What the real client makes of `repo` through the mirror, with the empty cache folder `home`."""
    before = mirror.counters()
    environment = {**os.environ, "HF_ENDPOINT": mirror.endpoint, "HF_HOME": str(home)}
    environment["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    environment.pop("HF_TOKEN", None)
    command = [sys.executable, "-c", DOWNLOAD, repo]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: the client failed with exit code {done.returncode}")
    seconds, size = done.stdout.split()
    grown = {name: int(value - before.get(name, 0.0)) for name, value in mirror.counters().items()}
    sources: dict[str, int] = {}
    for name, count in grown.items():
        if 'source="' in name:
            source = name.split('source="')[1].split('"')[0]
            sources[source] = sources.get(source, 0) + count
    from_origin = sum(count for name, count in grown.items() if name.startswith("penstock_upstream_bytes_total"))
    return Download(float(seconds), int(size), sources, from_origin)


def _tell(what: str, download: Download) -> None:
    rate = download.size / download.seconds / 1e6
    sources = ", ".join(f"{name} {count / 1e6:.1f} MB" for name, count in sorted(download.sources.items()) if count)
    print(f"{what}: {download.size / 1e6:.1f} MB in {download.seconds:.2f} s ({rate:.0f} MB/s)")
    print(f"      the mirror took them from: {sources or 'nothing'}")
    print(f"      bytes from the origin: {download.from_origin / 1e6:.1f} MB\n")


if __name__ == "__main__":
    raise SystemExit(main())
