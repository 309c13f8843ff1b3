"""The sample configurations: each is right, and a node starts with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.service.named import ASSEMBLY
from tests.service.running import ROOT, running

EXAMPLES = sorted(path.name for path in (ROOT / "config").glob("*.toml"))
OTHERS = {
    "cluster.toml": (
        "--advertise",
        "http://127.0.0.1:1",
        "--redis",
        "redis://127.0.0.1:9",
        "--peer",
        "http://127.0.0.2:1",
    )
}
"""What of it leads to other machines, or into folders of the system, is put elsewhere."""


def test_there_are_examples() -> None:
    assert set(EXAMPLES) >= {"airgap.toml", "cluster.toml", "reference.toml", "single.toml"}


@pytest.mark.parametrize("name", EXAMPLES)
async def test_a_node_starts_with_it(tmp_path: Path, name: str) -> None:
    secret = tmp_path / "cluster.secret"
    secret.write_text("s" * 64)
    more = (*OTHERS[name], "--cluster-secret-file", str(secret)) if name in OTHERS else ()
    async with running(tmp_path, "--config", str(ROOT / "config" / name), *more, assembly=ASSEMBLY) as node:
        assert (await node.admin("/-/readyz"))[0] == 200
