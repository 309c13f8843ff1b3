"""The real `huggingface_hub` against the Hub itself: if it is content here, the Hub speaks the protocol."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from bench.hub import faults as f
from bench.hub.content import MIB, SyntheticBlob
from bench.hub.server import SyntheticHub
from bench.hub.world import World


@pytest.fixture
async def hub(world: World) -> AsyncIterator[SyntheticHub]:
    """Without Xet: what the client does with it is shown in test_cas."""
    async with SyntheticHub.open(world, xet=False) as running:
        yield running


class Client:
    """The blocking client, one call at a time in a thread, with a cache of its own."""

    def __init__(self, hub: SyntheticHub, cache: Path) -> None:
        self._endpoint = hub.url
        self._cache = cache

    async def download(self, repo: str, path: str, *, token: str | bool = False, **options: Any) -> Path:
        options |= {"endpoint": self._endpoint, "cache_dir": self._cache, "token": token}
        return Path(await asyncio.to_thread(hf_hub_download, repo, path, **options))

    async def snapshot(self, repo: str, **options: Any) -> Path:
        options |= {"endpoint": self._endpoint, "cache_dir": self._cache, "token": False}
        return Path(await asyncio.to_thread(snapshot_download, repo, **options))

    async def api(self, call: Callable[[HfApi], Any], *, token: str | bool = False) -> Any:
        return await asyncio.to_thread(call, HfApi(endpoint=self._endpoint, token=token))


@pytest.fixture
def client(hub: SyntheticHub, tmp_path: Path) -> Client:
    return Client(hub, tmp_path / "cache")


@pytest.mark.parametrize("path", ["config.json", "empty.txt", "sub dir/ünï c#de 100%+[x].txt"])
async def test_a_small_file_is_kept_under_its_git_sha1(client: Client, world: World, path: str) -> None:
    file = world.repo("acme/tiny").file(path)
    got = await client.download("acme/tiny", path)
    assert got.read_bytes() == world.repo("acme/tiny").file(path).content  # type: ignore[union-attr]
    assert got.resolve().name == file.oid


async def test_a_large_file_is_kept_under_its_sha256(client: Client, hub: SyntheticHub, world: World) -> None:
    data = world.add_dataset("acme/data")
    blob = data.put_blob("train.parquet", 5 * MIB)
    data.commit("Add data")
    got = await client.download("acme/data", "train.parquet", repo_type="dataset")
    assert got.read_bytes() == blob.read(0, blob.size)
    assert got.resolve().name == blob.sha256
    assert hub.counters.total_bytes("cdn") == blob.size


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/1", "short", "full"])
async def test_every_revision_downloads(client: Client, world: World, revision: str) -> None:
    repo = world.repo("acme/tiny")
    repo.tag("v1.0")
    repo.pull_request(1)
    asked = {"short": repo.head()[:7], "full": repo.head()}.get(revision, revision)
    assert (await client.download("acme/tiny", "config.json", revision=asked)).parent.name == repo.head()


async def test_an_old_model_has_one_segment(client: Client, world: World) -> None:
    gpt2 = world.add_model("gpt2")
    gpt2.put_text("config.json", "{}")
    gpt2.commit("Add configuration")
    assert (await client.download("gpt2", "config.json")).read_text() == "{}"
    assert (await client.api(lambda api: api.model_info("gpt2"))).sha == gpt2.head()


async def test_a_snapshot_is_whole_and_the_second_asks_once(client: Client, hub: SyntheticHub, world: World) -> None:
    folder = await client.snapshot("acme/tiny")
    got = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert got == set(world.repo("acme/tiny").commits[world.repo("acme/tiny").head()].files)
    hub.counters.reset()
    await client.snapshot("acme/tiny")
    assert hub.counters.snapshot()["requests"] == {"revision": 1}


async def test_a_client_with_xet_switched_off_takes_the_plain_way(world: World, tmp_path: Path) -> None:
    """The announcement of Xet is there; the client, told by its environment, does not follow it."""
    script = (
        "import sys; from huggingface_hub import snapshot_download, HfApi\n"
        "print(snapshot_download('acme/tiny')); print(HfApi().whoami()['name'])"
    )
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": "hf_alice"}
    async with SyntheticHub.open(world) as hub:
        environment["HF_ENDPOINT"] = hub.url
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        folder, name = done.stdout.split()
        assert name == "alice"
        assert (Path(folder) / "model.safetensors").stat().st_size == 3 * MIB + 17
        assert hub.counters.total_requests("cas") == 0
        assert not [one for one in hub.log if one.plane == "cdn" and "authorization" in one.headers]


async def test_the_api_reads_every_page(client: Client, world: World) -> None:
    repo = world.add_model("acme/many")
    for number in range(2500):
        repo.put_text(f"{number:05d}.txt", str(number))
    repo.commit("Add files")
    items = await client.api(lambda api: list(api.list_repo_tree("acme/many", recursive=True)))
    assert [item.path for item in items] == [f"{number:05d}.txt" for number in range(2500)]


async def test_the_api_reads_every_fact(client: Client, world: World) -> None:
    repo = world.repo("acme/tiny")
    repo.tag("v1.0")
    repo.pull_request(1)
    file = repo.file("model.safetensors")
    info = await client.api(lambda api: api.model_info("acme/tiny", files_metadata=True, expand=None))
    large = next(one for one in info.siblings if one.rfilename == "model.safetensors")
    assert (info.sha, large.size, large.blob_id) == (repo.head(), file.size, file.oid)
    [config, folder] = await client.api(
        lambda api: api.get_paths_info("acme/tiny", ["config.json", "sub dir", "nope"], expand=True)
    )
    assert (config.path, config.last_commit.oid, folder.path) == ("config.json", repo.head(), "sub dir")
    refs = await client.api(lambda api: api.list_repo_refs("acme/tiny", include_pull_requests=True))
    assert [one.ref for one in (*refs.branches, *refs.tags, *refs.pull_requests)] == [
        "refs/heads/main",
        "refs/tags/v1.0",
        "refs/pr/1",
    ]
    commits = await client.api(lambda api: api.list_repo_commits("acme/tiny"))
    assert [one.title for one in commits] == ["Upload model", "initial commit"]
    assert {one.id for one in await client.api(lambda api: list(api.list_models(author="acme")))} == {
        "acme/tiny",
        "acme/gated",
    }


async def test_the_api_reads_every_kind(client: Client, world: World) -> None:
    heads = [world.add_dataset("acme/d").head(), world.add_space("acme/s").head(), world.add_kernel("acme/k").head()]
    infos = await client.api(
        lambda api: [api.dataset_info("acme/d"), api.space_info("acme/s"), api.kernel_info("acme/k")]
    )
    assert [info.sha for info in infos] == heads


async def test_existence(client: Client) -> None:
    answers = await client.api(
        lambda api: [
            api.repo_exists("acme/tiny"),
            api.repo_exists("acme/nope"),
            api.repo_exists("acme/private"),
            api.file_exists("acme/tiny", "config.json"),
            api.file_exists("acme/tiny", "nope.json"),
            api.revision_exists("acme/tiny", "main"),
            api.revision_exists("acme/tiny", "nope"),
        ]
    )
    assert answers == [True, False, False, True, False, True, False]


@pytest.mark.parametrize(
    ("repo", "token", "error"),
    [
        ("acme/tiny", False, None),
        ("acme/private", False, RepositoryNotFoundError),
        ("acme/private", "hf_bob", RepositoryNotFoundError),
        ("acme/private", "hf_alice", None),
        ("acme/gated", False, GatedRepoError),
        ("acme/gated", "hf_bob", GatedRepoError),
        ("acme/gated", "hf_alice", None),
    ],
)
async def test_rights_by_probe_and_by_download(
    client: Client, repo: str, token: str | bool, error: type[Exception] | None
) -> None:
    if error is None:
        await client.api(lambda api: api.auth_check(repo), token=token)
        assert (await client.download(repo, "config.json", token=token)).is_file()
        return
    with pytest.raises(error):
        await client.api(lambda api: api.auth_check(repo), token=token)
    with pytest.raises(error):
        await client.download(repo, "config.json", token=token)


@pytest.mark.parametrize(
    ("repo", "path", "options", "error"),
    [
        ("acme/nope", "x", {}, RepositoryNotFoundError),
        ("acme/nope", "x", {"token": "hf_bob"}, RepositoryNotFoundError),
        ("acme/tiny", "x", {}, RemoteEntryNotFoundError),
        ("acme/tiny", "config.json", {"revision": "nope"}, RevisionNotFoundError),
        ("acme/tiny", "config.json", {"token": "hf_wrong"}, HfHubHTTPError),
    ],
)
async def test_error_classes(
    client: Client, repo: str, path: str, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error) as raised:
        await client.download(repo, path, **options)
    if "hf_wrong" in options.values():
        assert not isinstance(raised.value, RepositoryNotFoundError)


async def test_a_disabled_repo(client: Client, world: World) -> None:
    world.repo("acme/tiny").disable()
    with pytest.raises(DisabledRepoError):
        await client.api(lambda api: api.model_info("acme/tiny"))
    with pytest.raises(LocalEntryNotFoundError):
        await client.download("acme/tiny", "config.json")


async def test_a_renamed_repo_still_downloads(client: Client, world: World) -> None:
    world.rename("acme/tiny", "acme/small")
    assert (await client.download("acme/tiny", "config.json")).is_file()
    assert (await client.api(lambda api: api.model_info("ACME/Tiny"))).id == "acme/small"
    assert len(await client.api(lambda api: api.get_paths_info("acme/tiny", ["config.json"]))) == 1


async def test_a_cut_download_is_resumed_by_range(client: Client, hub: SyntheticHub, world: World) -> None:
    repo = world.add_model("acme/big")
    blob: SyntheticBlob = repo.put_blob("model.safetensors", 45 * MIB)
    repo.commit("Upload model")
    hub.faults.add(f.Cut(25 * MIB), kinds=("cdn",), times=1)
    got = await client.download("acme/big", "model.safetensors")
    assert got.read_bytes() == blob.read(0, blob.size)
    asked = [one.headers.get("range") for one in hub.log if one.kind == "cdn"]
    assert asked == [None, f"bytes={20 * MIB}-"]


async def test_an_expired_address_fails_the_download(client: Client, hub: SyntheticHub) -> None:
    hub.faults.add(f.ExpireUrls(), kinds=("resolve",))
    with pytest.raises((HfHubHTTPError, LocalEntryNotFoundError)):
        await client.download("acme/tiny", "model.safetensors")
    assert hub.log[-1].status == 403


async def test_a_rate_limit_is_waited_for(client: Client, hub: SyntheticHub) -> None:
    hub.faults.add(f.RateLimited(0), kinds=("cdn",), times=1)
    assert (await client.download("acme/tiny", "model.safetensors")).is_file()
    assert [one.status for one in hub.log if one.kind == "cdn"] == [429, 200]


async def test_a_wrong_byte_passes_unnoticed(client: Client, hub: SyntheticHub, world: World) -> None:
    """Which is why a mirror has to look (HUB-PROTOCOL §0.4)."""
    hub.faults.add(f.FlipByte(1_000_000), kinds=("cdn",))
    got = await client.download("acme/tiny", "model.safetensors")
    blob = world.repo("acme/tiny").file("model.safetensors").blob  # type: ignore[union-attr]
    assert got.read_bytes() != blob.read(0, blob.size)
    assert got.resolve().name == blob.sha256
