"""The extra `penstock[xet]` that is not there, too old, or not to be used; and a Xet store that is not listed."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.kit.node import REPO_ROOT
from tests.kit.reader import Ending
from tests.kit.stage import Stage
from tests.scenarios.test_doctor import examined
from tests.scenarios.test_xet_upstream import REPO, furnished

WITHOUT_XET = ("-c", "import sys; sys.modules['hf_xet'] = None; from proxy.cli.main import main; main()")
"""How a node is started on which the extra is not installed."""


async def test_without_hf_xet_the_error_says_what_to_install(stage: Stage) -> None:
    file = furnished(stage)
    node = await stage.node(command=WITHOUT_XET, origin__retries=1)
    refused = await stage.read(node, file)
    assert (refused.status, refused.ending) == (502, Ending.REFUSED)
    assert "pip install 'penstock[xet]'" in refused.headers["X-Error-Message"]
    assert stage.hub.counters.total_requests("xet-read-token") == 0
    small = await stage.read(node, stage.file(REPO, "small.bin"))
    assert small.complete, small
    stage.others_ask()
    code, found = await examined("--endpoint", node.url, "--repo", REPO)
    assert code == 4
    assert any("pip install 'penstock[xet]'" in trouble for trouble in found["troubles"]), found["troubles"]


@pytest.mark.parametrize("client", ["0.34.6", "1.16.1"])
async def test_a_hf_xet_that_is_too_old_is_told_so(stage: Stage, client: str) -> None:
    """Those of older clients: 1.1.10, which has no streams, and 1.5.1, which has fewer settings."""
    file = furnished(stage)
    (old,) = (REPO_ROOT / ".venv-clients" / client).glob("lib/*/site-packages/hf_xet")
    folder = stage.folder / "old"
    folder.mkdir()
    (folder / "hf_xet").symlink_to(old)
    start = f"import sys; sys.path.insert(0, {str(folder)!r}); from proxy.cli.main import main; main()"
    node = await stage.node(command=("-c", start))
    refused = await stage.read(node, file)
    assert (refused.status, refused.ending) == (502, Ending.REFUSED)
    assert "too old" in refused.headers["X-Error-Message"]


async def test_check_says_that_hf_xet_is_missing(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *WITHOUT_XET, "check", "--disk", str(tmp_path)),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPO_ROOT), "HOME": str(tmp_path), "NO_COLOR": "1"},
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    assert "pip install 'penstock[xet]'" in " ".join(said.decode().split())


async def test_it_can_be_switched_off(stage: Stage) -> None:
    file = furnished(stage)
    node = await stage.node(origin__xet=False, origin__retries=1)
    refused = await stage.read(node, file)
    assert (refused.status, refused.ending) == (502, Ending.REFUSED)
    assert stage.hub.counters.total_requests("cas", "xet-read-token") == 0


async def test_a_xet_store_that_is_not_listed_is_not_gone_to(stage: Stage) -> None:
    file = furnished(stage)
    cdn = stage.hub.cdn_url.removeprefix("http://")
    node = await stage.node(origin__redirect_hosts=[cdn], origin__allow_private=False)
    refused = await stage.read(node, file)
    assert (refused.status, refused.ending) == (502, Ending.REFUSED)
    assert "redirect_hosts" in refused.headers["X-Error-Message"]
    assert stage.hub.counters.total_requests("cas") == 0
