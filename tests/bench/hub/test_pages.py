"""The metadata plane and the refusals, on the wire."""

import json
from typing import Any

import pytest

from bench.hub.pages import front_matter
from bench.hub.server import SyntheticHub
from bench.hub.world import World
from tests.bench.hub.asking import Ask


async def asked(ask: Ask, target: str, **options: Any) -> Any:
    reply = await ask(target, **options)
    assert reply.status == 200, reply.body
    return json.loads(reply.body)


async def test_info_names_head_and_siblings(ask: Ask, world: World) -> None:
    facts = await asked(ask, "/api/models/acme/tiny")
    assert facts["sha"] == world.repo("acme/tiny").head()
    assert {"rfilename": "config.json"} in facts["siblings"]
    assert (facts["private"], facts["gated"], facts["disabled"]) == (False, False, False)


async def test_info_with_blobs_tells_sizes_and_digests(ask: Ask) -> None:
    facts = await asked(ask, "/api/models/acme/tiny?blobs=true")
    large = next(one for one in facts["siblings"] if one["rfilename"] == "model.safetensors")
    assert large["lfs"]["size"] == large["size"]
    assert len(large["lfs"]["sha256"]) == len(large["xetHash"]) == 64


async def test_info_can_be_narrowed(ask: Ask) -> None:
    facts = await asked(ask, "/api/models/acme/tiny?expand=sha&expand=private")
    assert set(facts) == {"_id", "id", "modelId", "sha", "private"}


@pytest.mark.parametrize("revision", ["main", "HEAD", "refs%2Fpr%2F1", "v1.0"])
async def test_every_revision_has_a_page(ask: Ask, world: World, revision: str) -> None:
    repo = world.repo("acme/tiny")
    repo.pull_request(1)
    repo.tag("v1.0")
    assert (await asked(ask, f"/api/models/acme/tiny/revision/{revision}"))["sha"] == repo.head()


async def test_a_tree_is_paged_with_absolute_links(ask: Ask, hub: SyntheticHub, world: World) -> None:
    repo = world.add_dataset("acme/many")
    for number in range(2500):
        repo.put_text(f"part/{number:05d}.txt", str(number))
    repo.commit("Add parts")
    target, paths, sizes = "/api/datasets/acme/many/tree/main?recursive=true&expand=false", [], []
    while target:
        reply = await ask(target)
        page = json.loads(reply.body)
        sizes.append(len(page))
        paths += [item["path"] for item in page if item["type"] == "file"]
        link = reply.headers.get("link", "")
        assert not link or link.startswith(f"<{hub.url}/api/datasets/acme/many/tree/main?recursive=true")
        target = link.partition("<")[2].partition(">")[0]
    assert sizes == [1000, 1000, 501]
    assert paths == [f"part/{number:05d}.txt" for number in range(2500)]


async def test_an_expanded_tree_has_pages_of_fifty(ask: Ask, world: World) -> None:
    repo = world.add_model("acme/some")
    for number in range(60):
        repo.put_text(f"{number:02d}.txt", "x")
    repo.commit("Add files")
    reply = await ask("/api/models/acme/some/tree/main?expand=true")
    items = json.loads(reply.body)
    assert len(items) == 50
    assert items[0]["lastCommit"]["id"] == repo.head()
    assert items[0]["securityFileStatus"]["status"] == "safe"
    assert "link" in reply


@pytest.mark.parametrize("folder", ["sub%20dir", "deep%2Fer", "deep/er"])
async def test_a_folder_may_be_asked_with_either_slash(ask: Ask, world: World, folder: str) -> None:
    world.repo("acme/tiny").put_text("deep/er/x.txt", "x")
    world.repo("acme/tiny").commit("Go deeper")
    items = await asked(ask, f"/api/models/acme/tiny/tree/main/{folder}")
    assert [item["type"] for item in items] == ["file"]


async def test_a_flat_tree_shows_folders(ask: Ask) -> None:
    items = await asked(ask, "/api/models/acme/tiny/tree/main")
    kinds = {item["path"]: item["type"] for item in items}
    assert kinds == {"config.json": "file", "empty.txt": "file", "model.safetensors": "file", "sub dir": "directory"}


async def test_a_missing_folder_is_no_entry(ask: Ask) -> None:
    reply = await ask("/api/models/acme/tiny/tree/main/nowhere")
    assert (reply.status, reply["x-error-code"]) == (404, "EntryNotFound")


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (b"paths=config.json&paths=sub+dir&paths=nope&expand=false", "application/x-www-form-urlencoded"),
        (b'{"paths": ["config.json", "sub dir", "nope"], "expand": false}', "application/json"),
    ],
)
async def test_paths_info_reads_forms_and_json(ask: Ask, data: bytes, content_type: str) -> None:
    items = await asked(
        ask, "/api/models/acme/tiny/paths-info/main", method="POST", data=data, Content_Type=content_type
    )
    assert [(item["path"], item["type"]) for item in items] == [("config.json", "file"), ("sub dir", "directory")]


async def test_refs_show_pull_requests_on_demand(ask: Ask, world: World) -> None:
    repo = world.repo("acme/tiny")
    repo.branch("dev")
    repo.pull_request(3)
    without = await asked(ask, "/api/models/acme/tiny/refs")
    assert [one["name"] for one in without["branches"]] == ["main", "dev"]
    assert "pullRequests" not in without
    assert (await asked(ask, "/api/models/acme/tiny/refs?include_prs=1"))["pullRequests"][0]["ref"] == "refs/pr/3"


async def test_commits_are_paged(ask: Ask, world: World) -> None:
    repo = world.repo("acme/tiny")
    for number in range(60):
        repo.commit(f"change {number}")
    first = await ask("/api/models/acme/tiny/commits/main")
    assert [len(json.loads(first.body)), first["x-total-count"]] == [50, "62"]
    rest = await asked(ask, first["link"].partition("<")[2].partition(">")[0])
    assert rest[-1]["title"] == "initial commit"


async def test_a_xet_token_is_told_twice(ask: Ask, hub: SyntheticHub) -> None:
    reply = await ask("/api/models/acme/tiny/xet-read-token/main")
    facts = json.loads(reply.body)
    assert facts["casUrl"] == reply["x-xet-cas-url"] == hub.cas_url
    assert facts["accessToken"] == reply["x-xet-access-token"]
    assert str(facts["exp"]) == reply["x-xet-token-expiration"]


async def test_search_shows_what_the_caller_may_see(ask: Ask) -> None:
    async def ids(query: str, token: str = "") -> list[str]:
        return [one["id"] for one in await asked(ask, f"/api/models?{query}", token=token)]

    assert await ids("author=acme") == ["acme/gated", "acme/tiny"]
    assert await ids("search=PRIV", "hf_alice") == ["acme/private"]
    first = await ask("/api/models?limit=1")
    assert [one["id"] for one in await asked(ask, first["link"].split("<")[1].split(">")[0])] == ["acme/tiny"]


async def test_odds_and_ends(ask: Ask) -> None:
    assert (await ask("/api/agent-harnesses")).status == 404
    assert (await ask("/api/telemetry/x")).status == 204
    assert (await ask("/api/whoami-v2")).status == 401
    assert (await asked(ask, "/api/whoami-v2", token="hf_alice"))["name"] == "alice"
    assert (await ask("/api/models/acme/tiny", method="PUT")).status == 405
    assert (await ask("/acme/tiny/resolve/main/..%2Fx")).status == 400
    assert "x-request-id" in await ask("/api/models/acme/tiny")


CONFIG = "/{}/resolve/main/config.json"


@pytest.mark.parametrize(
    ("target", "token", "status", "code"),
    [
        (CONFIG.format("acme/nope"), "", 401, "RepoNotFound"),
        (CONFIG.format("acme/nope"), "hf_bob", 404, "RepoNotFound"),
        (CONFIG.format("acme/private"), "", 401, "RepoNotFound"),
        (CONFIG.format("acme/private"), "hf_bob", 404, "RepoNotFound"),
        (CONFIG.format("acme/private"), "hf_alice", 307, None),
        (CONFIG.format("acme/gated"), "", 401, "GatedRepo"),
        (CONFIG.format("acme/gated"), "hf_bob", 403, "GatedRepo"),
        (CONFIG.format("acme/gated"), "hf_alice", 307, None),
        (CONFIG.format("acme/tiny"), "hf_wrong", 401, None),
        ("/api/models/acme/gated", "", 200, None),
        ("/api/models/acme/gated/tree/main", "", 200, None),
        ("/api/models/acme/gated/auth-check", "hf_bob", 403, "GatedRepo"),
        ("/api/models/acme/gated/auth-check", "hf_alice", 200, None),
        ("/api/models/acme/private/tree/main", "hf_bob", 404, "RepoNotFound"),
        ("/api/models/acme/tiny/revision/nope", "", 404, "RevisionNotFound"),
        ("/acme/tiny/resolve/nope/config.json", "", 404, "RevisionNotFound"),
        ("/acme/tiny/resolve/main/nope.json", "", 404, "EntryNotFound"),
    ],
)
async def test_refusals(ask: Ask, target: str, token: str, status: int, code: str | None) -> None:
    reply = await ask(target, token=token)
    assert (reply.status, reply.headers.get("x-error-code")) == (status, code)
    if status >= 400:
        assert json.loads(reply.body)["error"] == reply["x-error-message"]


async def test_a_bad_token_is_called_that(ask: Ask) -> None:
    reply = await ask("/api/models/acme/tiny", token="hf_wrong")
    assert reply["x-error-message"] == "Invalid credentials in Authorization header"


async def test_a_missing_file_still_names_the_commit(ask: Ask, world: World) -> None:
    assert (await ask("/acme/tiny/resolve/main/nope"))["x-repo-commit"] == world.repo("acme/tiny").head()


async def test_a_disabled_repo_says_so(ask: Ask, world: World) -> None:
    world.repo("acme/tiny").disable()
    reply = await ask("/api/models/acme/tiny")
    assert (reply.status, reply["x-error-message"]) == (403, "Access to this resource is disabled.")


@pytest.mark.parametrize("old", ["acme/old", "ACME/Tiny"])
@pytest.mark.parametrize(
    ("method", "page"),
    [
        ("GET", "/api/models/{}/tree/main?recursive=true"),
        ("GET", "/{}/resolve/main/config.json"),
        ("POST", "/api/models/{}/paths-info/main"),
    ],
)
async def test_renamed_and_misspelled_ids_redirect_relatively(
    ask: Ask, world: World, old: str, method: str, page: str
) -> None:
    world.add_model("acme/old")
    world.delete("acme/tiny")
    world.rename("acme/old", "acme/tiny")
    reply = await ask(page.format(old), method=method)
    assert (reply.status, reply["location"]) == (307, page.format("acme/tiny"))


async def test_a_private_repo_does_not_tell_its_new_name(ask: Ask, world: World) -> None:
    world.rename("acme/private", "acme/secret")
    assert (await ask("/api/models/acme/private")).status == 401
    assert (await ask("/api/models/acme/private", token="hf_alice")).status == 307


async def test_a_revoked_right_is_gone_at_once(ask: Ask, world: World) -> None:
    world.repo("acme/private").revoke("alice")
    assert (await ask("/api/models/acme/private", token="hf_alice")).status == 404


def test_front_matter_is_read_as_far_as_it_is_flat() -> None:
    card = front_matter("---\nlicense: mit\ntags:\n- a\n- b\n---\n# Title\n")
    assert card == {"license": "mit", "tags": ["a", "b"]}
    assert front_matter("# no head") == {}
    assert front_matter("---\nnever: closed\n") == {}


async def test_the_conversion_to_parquet_is_listed_at_absolute_addresses(
    ask: Ask, hub: SyntheticHub, world: World
) -> None:
    repo = world.add_dataset("acme/rows")
    repo.put_text("README.md", "# Rows")
    for path in ("default/train/0000.parquet", "default/train/0001.parquet", "other/test/0000.parquet"):
        repo.put_bytes(path, path.encode(), lfs=True)
    repo.commit("Convert")
    repo.convert("parquet")
    base = f"{hub.url}/api/datasets/acme/rows/parquet"
    train = [f"{base}/default/train/{number}.parquet" for number in (0, 1)]
    listed = await asked(ask, "/api/datasets/acme/rows/parquet")
    assert listed == {"default": {"train": train}, "other": {"test": [f"{base}/other/test/0.parquet"]}}
    assert await asked(ask, "/api/datasets/acme/rows/parquet/default") == listed["default"]
    assert await asked(ask, "/api/datasets/acme/rows/parquet/default/train") == train
    file = await ask("/api/datasets/acme/rows/parquet/default/train/1.parquet")
    assert file.status == 302
    assert file.headers["location"].endswith("/resolve/refs%2Fconvert%2Fparquet/default/train/0001.parquet")
    for missing in ("datasets/acme/rows/parquet/no", "datasets/acme/rows/parquet/other/test/7.parquet"):
        assert (await ask(f"/api/{missing}")).status == 404
    assert (await ask("/api/models/acme/tiny/parquet")).status == 404, "models have none"
