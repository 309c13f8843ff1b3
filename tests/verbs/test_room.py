"""`penstock pin`, `unpin`, `rm`, `purge`, `prune`, on a real node."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bench.hub.content import MIB
from tests.kit.files import Expected
from tests.kit.waiting import until

from .verbs import Operator, operated

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Operator]:
    async with operated(tmp_path_factory.mktemp("room"), workers=2, disk_size="100MiB") as found:
        yield found


async def warmed(operator: Operator, repo_id: str, size: int = 3 * MIB) -> Expected:
    repo = operator.stage.repo(repo_id)
    repo.put_text("config.json", f'{{"of": "{repo_id}"}}')
    file = operator.stage.blob(repo_id, "model.safetensors", size)
    done = await operator.says("warm", repo_id)
    assert done.returncode == 0, done.said
    return file


async def here(operator: Operator, repo_id: str) -> int:
    return sum(file["here"] for file in (await operator.json("info", repo_id))["files"])


async def test_what_is_pinned_outlives_a_prune_and_a_restart(tmp_path: Path) -> None:
    async with operated(tmp_path) as operator:
        await warmed(operator, "acme/kept")
        await warmed(operator, "acme/other")
        assert (await operator.says("pin", "acme/kept")).returncode == 0
        await operator.node.stop()
        await operator.node.start()
        done = await operator.says("prune", "--to", "0.01%")
        assert done.returncode == 0, done.said
        assert await here(operator, "acme/kept") == 3 * MIB + 19
        assert await here(operator, "acme/other") < MIB, "down to a ten-thousandth of the disk"
        assert (await operator.json("pins"))["pins"][0]["repo"] == "acme/kept"
        listed = {repo["repo"]: repo["pinned"] for repo in await operator.json("ls")}
        assert listed == {"acme/kept": True, "acme/other": False}
        refused = await operator.says("rm", "acme/kept", "--yes")
        assert refused.returncode == 5
        assert "penstock unpin acme/kept" in refused.stderr
        assert (await operator.says("unpin", "acme/kept")).returncode == 0
        await operator.says("prune", "--to", "0.01%")
        assert await here(operator, "acme/kept") < MIB
        assert (await operator.says("unpin", "acme/kept")).returncode == 3


async def test_pins_come_back_with_lost_books(tmp_path: Path) -> None:
    """The index of a disk can be lost and is counted anew from its files; the pins are told to it again."""
    async with operated(tmp_path) as operator:
        await warmed(operator, "acme/kept")
        assert (await operator.says("pin", "acme/kept@main", "--include", "*.safetensors")).returncode == 0
        await operator.node.stop()
        for disk in operator.node.plan.disk_folders:
            for file in disk.glob("index.sqlite*"):
                file.unlink()
        await operator.node.start()

        async def pinned() -> bool:
            return bool((await operator.json("stats"))["disks"][0]["pinned"] == 3 * MIB)

        await until(pinned, "the disk knows it is pinned")


async def test_rm_says_what_would_go_and_wants_a_yes(operator: Operator) -> None:
    await warmed(operator, "acme/removed")
    would = await operator.says("rm", "acme/removed", "--dry-run")
    assert would.returncode == 0
    assert "model.safetensors" in would.stderr
    assert "2 blobs, 3.0 MiB, of acme/removed would go" in would.stderr
    unasked = await operator.says("rm", "acme/removed")
    assert unasked.returncode == 1
    assert "--yes" in unasked.stderr
    assert await here(operator, "acme/removed") > 3 * MIB
    done = await operator.json("rm", "acme/removed", "--yes")
    assert (done["blobs"], done["bytes"]) == (2, 3 * MIB + 22)
    assert (await operator.says("info", "acme/removed")).returncode == 3


async def test_what_was_removed_is_fetched_anew(operator: Operator) -> None:
    file = await warmed(operator, "acme/back")
    assert (await operator.says("rm", "acme/back", "--yes")).returncode == 0

    async def back() -> bool:
        reading = await operator.stage.read(operator.node, file)
        assert reading.complete, reading
        known = await operator.says("info", "acme/back@" + file.commit, "--json")
        return known.returncode == 0 and '"here": 3145728' in known.stdout

    await until(back, "workers have forgotten what was removed, and learnt it anew")


async def test_only_chosen_files_go(operator: Operator) -> None:
    await warmed(operator, "acme/partly")
    done = await operator.json("rm", "acme/partly@main", "--include", "*.json", "--yes")
    assert done["paths"] == ["config.json"]
    assert await here(operator, "acme/partly") == 3 * MIB


@pytest.mark.parametrize("verb", ["rm", "purge"])
async def test_who_is_not_asked_is_told_the_very_words_again(operator: Operator, verb: str) -> None:
    await warmed(operator, f"acme/{verb}-asked")
    chosen = (f"acme/{verb}-asked@main", "--include", "*.json", "--exclude", "a b")
    done = await operator.says(verb, *chosen, "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert json.loads(done.stderr)["next"] == [
        f"penstock {verb} acme/{verb}-asked@main --include '*.json' --exclude 'a b' --yes"
    ]
    assert await here(operator, f"acme/{verb}-asked") > 3 * MIB


async def test_what_another_repo_has_too_stays(operator: Operator) -> None:
    for name in ("acme/first", "acme/twin"):
        repo = operator.stage.repo(name)
        repo.put_blob("same.safetensors", 3 * MIB, seed="shared")
        repo.commit("Add what another has too")
        assert (await operator.says("warm", name)).returncode == 0
    done = await operator.json("rm", "acme/first", "--yes")
    assert done["shared"] == 3 * MIB
    assert await here(operator, "acme/twin") == 3 * MIB


async def test_purge_drops_a_blob_by_its_key(operator: Operator) -> None:
    file = await warmed(operator, "acme/purged")
    would = await operator.json("purge", file.sha256, "--dry-run")
    assert (would["here"], would["dry_run"]) == (3 * MIB, True)
    assert await here(operator, "acme/purged") > 3 * MIB, "nothing went"
    assert (await operator.says("purge", file.sha256)).returncode == 0

    async def gone() -> bool:
        return (await operator.says("info", f"sha256:{file.sha256}")).returncode == 3

    await until(gone, "the blob is gone")


async def test_a_soft_purge_asks_anew_and_keeps_every_byte(tmp_path: Path) -> None:
    async with operated(tmp_path, freshness__ref_ttl="1h") as operator:
        file = await warmed(operator, "acme/soft")
        repo = operator.stage.repo("acme/soft")
        repo.put_text("new.txt", "new")
        newer = repo.commit("Go on")
        before = await operator.stage.ask(operator.node, file.target("main"), method="HEAD")
        assert before.headers["X-Repo-Commit"] == file.commit
        would = await operator.json("purge", "acme/soft", "--soft", "--dry-run")
        assert (would["refs"], would["dry_run"], would["others"]) == (1, True, [])
        assert would["listings"] >= 2
        still = await operator.stage.ask(operator.node, file.target("main"), method="HEAD")
        assert still.headers["X-Repo-Commit"] == file.commit, "it was a dry run"
        assert (await operator.says("purge", "acme/soft", "--soft")).returncode == 0
        after = await operator.stage.ask(operator.node, file.target("main"), method="HEAD")
        assert after.headers["X-Repo-Commit"] == newer
        assert (await operator.says("purge", "acme/soft", "--soft")).returncode == 0
        await operator.stage.hub.off()
        away = await operator.stage.ask(operator.node, file.target("main"), method="HEAD")
        assert away.headers["X-Repo-Commit"] == newer, "what is kept serves while the origin is away"
        assert (await operator.says("purge", "acme/unheard-of", "--soft")).returncode == 3


async def test_a_prune_says_first_what_it_would_do(operator: Operator) -> None:
    await warmed(operator, "acme/pruned", 8 * MIB)
    would = await operator.json("prune", "--to", "4%", "--dry-run")
    assert would["left"] > 0
    assert await here(operator, "acme/pruned") > 8 * MIB
    done = await operator.json("prune", "--to", "4%")
    assert done["left"] == 0
    assert all(disk["after"] <= disk["target"] == 4 * MIB for disk in done["disks"])
    assert (await operator.says("prune", "--to", "800%")).returncode == 2
