"""`penstock doctor`, at the mirror and at the Hub itself; and the count of answers that lead away."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from bench.hub.content import MIB
from bench.hub.repo import Repo
from bench.hub.server import SyntheticHub
from tests.kit import canaries
from tests.kit.command import penstock
from tests.kit.stage import Stage


def furnished(stage: Stage, repo_id: str = "acme/tiny", **traits: bool) -> Repo:
    """A repo with a tag, a pull request, and more files than fit on one page."""
    repo = stage.world.add_model(repo_id, **traits)
    for number in range(1100):
        repo.put_text(f"part-{number:04}.txt", b"%d" % number)
    repo.put_blob("model.safetensors", 2 * MIB)
    repo.commit("Upload")
    repo.tag("v1")
    repo.pull_request(1)
    return repo


async def doctor(*words: str) -> tuple[int, str, str]:
    done = await penstock("doctor", *words, environment={"PATH": os.environ["PATH"]})
    return done.returncode, done.stdout, done.stderr


async def examined(*words: str) -> tuple[int, dict[str, Any]]:
    code, out, said = await doctor(*words, "--json")
    assert out, said
    return code, json.loads(out)


async def test_nothing_leaks_past_the_mirror_cold_or_warm(stage: Stage) -> None:
    repo = furnished(stage)
    stage.allow_origin(None)  # single bytes are asked for, the fill fetches chunks
    stage.others_ask()
    node = await stage.node(workers=2)
    for _ in ("cold", "warm"):
        code, found = await examined("--endpoint", node.url, "--repo", repo.id)
        assert (code, found["leaks"], found["troubles"]) == (0, [], [])
        assert found["asked"] > 30
    assert (await node.metrics()).total("leaks_total") == 0


async def test_without_a_repo_one_is_walked_whose_files_are_for_everybody(stage: Stage) -> None:
    """The Hub lists first what is liked most, which often is gated."""
    gated = stage.world.add_model("acme/a-gated-one", gated=True)
    gated.put_text("config.json", "{}")
    gated.commit("Upload")
    repo = furnished(stage)
    stage.allow_origin(None)
    stage.others_ask()
    node = await stage.node()
    code, found = await examined("--endpoint", node.url)
    assert (code, found["leaks"], found["troubles"]) == (0, [], [])
    assert found["repo"] == str(repo.id)


async def test_the_hub_itself_leads_away_and_the_doctor_says_where(stage: Stage) -> None:
    repo = furnished(stage)
    async with SyntheticHub.open(stage.world) as hub:
        code, found = await examined("--endpoint", hub.url, "--repo", repo.id)
        told, out, said = await doctor("--endpoint", hub.url, "--repo", repo.id)
    assert (code, told, out) == (4, 4, "")
    kinds = {(leak["kind"], leak["where"]) for leak in found["leaks"]}
    assert ("redirect", "location") in kinds
    assert ("xet", 'link rel="xet-reconstruction-info"') in kinds
    assert ("xet", "casUrl") in kinds
    assert any(leak["to"].startswith(hub.cdn_url) for leak in found["leaks"])
    assert "Signature" not in json.dumps(found), "addresses are shown without what signs them"
    assert "leak: " in said
    assert "without falling back" in said


async def test_a_private_repo_is_walked_with_a_token_from_a_file(stage: Stage, tmp_path: Path) -> None:
    alice = stage.user("alice")
    repo = furnished(stage, "acme/secret", private=True)
    repo.grant("alice")
    stage.allow_origin(None)
    stage.others_ask()
    node = await stage.node()
    code, _, said = await doctor("--endpoint", node.url, "--repo", repo.id)
    assert code == 3, said
    token = tmp_path / "token"
    token.write_text(alice + "\n")
    code, out, said = await doctor("--endpoint", node.url, "--repo", repo.id, "--token-file", str(token), "--json")
    assert (code, json.loads(out)["well"]) == (0, True), said
    assert canaries.CANARY not in out + said
    token.unlink()


async def test_a_mirror_that_is_not_there_is_unhealthy(stage: Stage) -> None:
    await stage.hub.off()
    code, _, said = await doctor("--endpoint", stage.hub.url, "--repo", "acme/tiny")
    assert code == 4
    assert "no answer" in said
