"""HfApi and HfFileSystem through the mirror."""

from __future__ import annotations

from typing import Any

from bench.hub.content import MIB
from bench.hub.repo import Repo
from tests.kit.clients import CURRENT, Outcome
from tests.kit.files import Expected, digest, expected
from tests.kit.stage import Stage


def api(method: str, *args: Any, **how: Any) -> dict[str, Any]:
    return {"op": "api", "method": method, "args": list(args), **how}


def fs(method: str, *args: Any, **how: Any) -> dict[str, Any]:
    return {"op": "filesystem", "method": method, "args": list(args), **how}


def furnished(stage: Stage) -> Repo:
    repo = stage.repo("acme/tiny")
    repo.put_text("config.json", b'{"model_type": "tiny"}')
    repo.put_text("sub/a.txt", b"a" * 3000)
    repo.put_text("sub/b.txt", b"b" * 10)
    repo.put_blob("model.safetensors", 6 * MIB + 5)
    repo.commit("Upload model")
    repo.tag("v1.0")
    repo.pull_request(1)
    return repo


def part(file: Expected, start: int, stop: int) -> dict[str, Any]:
    content = file.blob.read(start, stop - start)
    return {"size": len(content), "sha256": digest(content)}


async def values(stage: Stage, calls: list[dict[str, Any]], **settings: Any) -> list[Any]:
    node = await stage.node(workers=2, **settings)
    return [outcome.value for outcome in await stage.client(CURRENT, node, calls)]


async def test_what_a_repo_is_comes_as_the_hub_tells_it(stage: Stage) -> None:
    """HUB-PROTOCOL §7.15."""
    repo = furnished(stage)
    dataset, space = stage.world.add_dataset("acme/rows"), stage.world.add_space("acme/show")
    dataset.put_text("rows.csv", "a,b\n")
    dataset.commit("Upload")
    stage.wants(expected(repo, "model.safetensors"))
    user = stage.user("alice")
    node = await stage.node(workers=2)
    calls = [
        api("model_info", repo.id, files_metadata=True),
        api("model_info", repo.id, expand=["siblings"]),
        api("dataset_info", dataset.id),
        api("space_info", space.id),
        api("list_repo_files", repo.id),
        api("get_paths_info", repo.id, ["model.safetensors", "sub", "nowhere"]),
        api("list_repo_refs", repo.id, include_pull_requests=True),
        api("list_repo_commits", repo.id),
        api("auth_check", repo.id),
        api("whoami"),
        api("file_exists", repo.id, "config.json"),
        api("file_exists", repo.id, "nowhere.json"),
        api("repo_exists", repo.id),
        api("repo_exists", "acme/nowhere"),
        api("revision_exists", repo.id, "v1.0"),
        api("revision_exists", repo.id, "v9"),
    ]
    outcomes = await stage.client(CURRENT, node, calls, token=user)
    by_call = dict(zip((f"{c['method']} {c['args']}" for c in calls), outcomes, strict=False))
    info, _, rows, show, files, paths, refs, commits, *rest = (outcome.value for outcome in outcomes)
    sizes = {sibling["rfilename"]: sibling["size"] for sibling in info["siblings"]}
    assert sizes == {path: file.size for path, file in repo.commits[repo.head()].files.items()}
    assert (info["sha"], rows["sha"], show["sha"]) == (repo.head(), dataset.head(), space.head())
    assert set(files) == {"config.json", "sub/a.txt", "sub/b.txt", "model.safetensors"}
    assert [one["path"] for one in paths] == ["model.safetensors", "sub"]
    assert paths[0]["lfs"]["sha256"] == expected(repo, "model.safetensors").etag
    assert [one["ref"] for one in refs["pull_requests"]] == ["refs/pr/1"]
    assert commits[0]["commit_id"] == repo.head()
    assert rest[2:] == [True, False, True, False, True, False], by_call


async def test_a_tree_of_three_pages_comes_from_the_mirror_alone(stage: Stage) -> None:
    """HUB-PROTOCOL §7.15: 2,500 files, and no `Link` leads anywhere else."""
    repo = stage.repo("acme/many")
    for number in range(2500):
        repo.put_text(f"part-{number:04}.txt", b"%d" % number)
    repo.commit("Upload")
    (files,) = await values(stage, [api("list_repo_tree", repo.id, recursive=True)])
    assert sorted(file["path"] for file in files) == [f"part-{number:04}.txt" for number in range(2500)]
    assert {record.headers.get("user-agent", "").partition("/")[0] for record in stage.hub.log} & {"hf_hub"} == set()


async def test_the_file_system_lists_globs_and_reads(stage: Stage) -> None:
    """HUB-PROTOCOL §7.14."""
    repo = furnished(stage)
    model = expected(repo, "model.safetensors")
    stage.wants(model)
    home, pulled = f"{repo.id}", f"{repo.id}@refs/pr/1"
    calls = [
        fs("ls", home, detail=False),
        fs("glob", f"{home}/**/*.txt"),
        fs("find", home),
        fs("cat", f"{home}/config.json"),
        fs("info", f"{pulled}/model.safetensors"),
        {"op": "read_parts", "path": f"{home}/model.safetensors", "parts": [[100, 50], [3 * MIB, 1000], [-64, 64]]},
        {"op": "read_parts", "path": f"{pulled}/model.safetensors", "parts": [[0, 10], [0, 20]], "block_size": 0},
        {"op": "get_file", "path": f"{home}/model.safetensors", "to": "got.bin"},
    ]
    listed, globbed, found, config, info, parts, streamed, got = await values(stage, calls)
    assert set(listed) == {f"{home}/{name}" for name in ("config.json", "sub", "model.safetensors")}
    assert set(globbed) == {f"{home}/sub/a.txt", f"{home}/sub/b.txt"}
    assert len(found) == 4
    assert config["sha256"] == digest(b'{"model_type": "tiny"}')
    assert info["size"] == model.size
    assert parts == [
        part(model, 100, 150),
        part(model, 3 * MIB, 3 * MIB + 1000),
        part(model, model.size - 64, model.size),
    ]
    assert streamed == [part(model, 0, 10), part(model, 10, 30)]
    stage.got(model, Outcome("get_file", ok=got))


async def test_the_tail_of_a_large_file_is_read_without_its_beginning(stage: Stage) -> None:
    """HUB-PROTOCOL §7.14: as loaders of GGUF and parquet do."""
    repo = stage.repo("acme/huge")
    size = 4 << 30
    repo.put_blob("rows.parquet", size, sha256="cd" * 32)
    repo.commit("Upload")
    file = expected(repo, "rows.parquet")
    stage.wants(file, (size - 8 * MIB, size))
    call = {"op": "read_parts", "path": f"{repo.id}/rows.parquet", "parts": [[-8, 8]], "block_size": 65536}
    (parts,) = await values(stage, [call])
    assert parts == [part(file, size - 8, size)]
    assert stage.hub.counters.total_bytes("cdn") <= 8 * MIB


async def test_names_that_need_quoting_arrive(stage: Stage) -> None:
    """HUB-PROTOCOL §7.19."""
    repo = stage.repo("acme/odd")
    names = [
        "sub dir/ünï c#de 100%.txt",
        "a+b [1] {2}.bin",
        'quo\'te "double".txt',
        ".gitattributes",
        "x" * 200 + ".json",
        "percent%20literal.txt",
        "question?mark&amp.txt",
    ]
    for name in names:
        repo.put_text(name, f"the content of {name}")
    repo.put_text("empty.txt", b"")
    repo.put_blob("large ü file.safetensors", 2 * MIB)
    repo.commit("Upload")
    node = await stage.node()
    (outcome,) = await stage.client(CURRENT, node, [{"op": "snapshot", "repo_id": repo.id}])
    assert stage.got_all(repo, outcome) == {*names, "empty.txt", "large ü file.safetensors"}


async def test_a_renamed_repo_and_a_wrong_case_lead_to_the_same_bytes(stage: Stage) -> None:
    """HUB-PROTOCOL §7.20: one copy is stored."""
    repo = furnished(stage)
    stage.world.rename(repo.id, "acme/renamed")
    node = await stage.node()
    calls: list[dict[str, Any]] = [
        {"op": "download", "repo_id": name, "filename": "model.safetensors"}
        for name in ("acme/tiny", "acme/renamed", "Acme/Renamed")
    ]
    stage.expect_origin_exact()
    outcomes = await stage.client(CURRENT, node, [*calls, api("model_info", "acme/tiny")])
    for outcome in outcomes[:3]:
        stage.got(expected(repo, "model.safetensors"), outcome)
    assert outcomes[3].value["id"] == "acme/renamed"


async def test_datasets_spaces_and_old_names_have_files_too(stage: Stage) -> None:
    dataset, space = stage.world.add_dataset("acme/rows"), stage.world.add_space("acme/show")
    old = stage.world.add_model("gpt2")
    for repo in (dataset, space, old):
        repo.put_text("config.json", f"of {repo.id}")
        repo.put_blob("large.bin", MIB + 1)
        repo.commit("Upload")
    node = await stage.node()
    kinds = [(dataset, "dataset"), (space, "space"), (old, "model")]
    calls: list[dict[str, Any]] = [
        {"op": "download", "repo_id": repo.id, "repo_type": kind, "filename": name}
        for repo, kind in kinds
        for name in ("config.json", "large.bin")
    ]
    for call, outcome in zip(calls, await stage.client(CURRENT, node, [dict(call) for call in calls]), strict=True):
        repo = next(repo for repo, kind in kinds if repo.id == call["repo_id"])
        stage.got(expected(repo, call["filename"]), outcome)


async def test_parquet_files_of_a_dataset_are_found_and_read_at_the_mirror(stage: Stage) -> None:
    """As DuckDB and polars go: the list, the address in it, the redirect, the file; none of it leads elsewhere."""
    repo = stage.world.add_dataset("acme/rows")
    repo.put_bytes("default/train/0000.parquet", b"PAR1" * 5000, lfs=True)
    repo.commit("Convert")
    repo.convert("parquet")
    file = expected(repo, "default/train/0000.parquet")
    stage.wants(file)
    node = await stage.node()
    listed = await stage.ask(node, "/api/datasets/acme/rows/parquet")
    assert listed.json == {"default": {"train": [f"{node.url}/api/datasets/acme/rows/parquet/default/train/0.parquet"]}}
    place = listed.json["default"]["train"][0].removeprefix(node.url)
    named = await stage.ask(node, place)
    assert named.status == 302, named.transcript
    assert (
        named.headers["Location"] == "/datasets/acme/rows/resolve/refs%2Fconvert%2Fparquet/default/train/0000.parquet"
    )
    pinned = await stage.ask(node, named.headers["Location"])
    assert pinned.headers["Location"] == file.target(), pinned.transcript
    assert (await stage.read(node, file)).complete
