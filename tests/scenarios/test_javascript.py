"""HUB-PROTOCOL §7.24: huggingface.js through the mirror."""

from __future__ import annotations

from typing import Any

from bench.hub.content import MIB
from bench.hub.repo import Repo
from tests.kit.files import digest, expected
from tests.kit.javascript import Script, javascript
from tests.kit.node import Node
from tests.kit.stage import Stage

LARGE = "model.safetensors"


def furnished(stage: Stage) -> Repo:
    repo = stage.repo("acme/tiny")
    repo.put_text("config.json", b'{"model_type": "tiny"}')
    repo.put_text("sub/empty.txt", b"")
    repo.put_text("sub dir/\u00fcn\u00ef [1] + 1.txt", b"odd")  # the library sends a # and a % as they are
    repo.put_blob(LARGE, 3 * MIB + 5)
    repo.commit("Upload")
    return repo


async def script(stage: Stage, node: Node, *calls: dict[str, Any], token: str = "") -> Script:
    """The calls in a fresh cache. Raises AssertionError when any request went anywhere but to the mirror."""
    home = stage.folder / f"node-client-{len(list(stage.folder.glob('node-client-*')))}"
    home.mkdir()
    stage.others_ask()
    done = await javascript(node.url, home, list(calls), token=token)
    assert not done.strangers(node.url), done.fetched
    return done


async def test_what_a_file_is_and_a_slice_of_it(stage: Stage) -> None:
    repo = furnished(stage)
    file = expected(repo, LARGE)
    stage.wants(file)
    node = await stage.node(workers=2)
    large = {"repo": repo.id, "path": LARGE}
    done = await script(
        stage,
        node,
        {"op": "info", **large},
        {"op": "slice", **large, "start": 2 * MIB - 10, "stop": 2 * MIB + 1000},
        {"op": "download", **large},
        {"op": "info", **large, "path": "nowhere.bin"},
        {"op": "download", **large, "path": "config.json", "revision": repo.head()},
        {"op": "info", **large, "raw": True},
        {"op": "download", **large, "path": "sub/empty.txt"},
    )
    info, part, whole, missing, config, pointer, empty = (outcome.value for outcome in done.outcomes)
    assert (info["size"], info["etag"]) == (file.size, f'"{file.etag}"')
    assert "xet" not in info
    assert info["url"] == node.url + file.target()
    assert part == {"size": 1010, "sha256": digest(file.blob.read(2 * MIB - 10, 1010))}
    assert whole == {"size": file.size, "sha256": file.sha256}
    assert missing is None
    assert config["sha256"] == digest(b'{"model_type": "tiny"}')
    assert 100 < pointer["size"] < 200
    assert empty == {"size": 0, "sha256": digest(b"")}


async def test_all_pages_of_a_listing(stage: Stage) -> None:
    repo = stage.repo("acme/many")
    for number in range(2100):
        repo.put_text(f"part-{number:04}.txt", b"%d" % number)
    repo.commit("Upload")
    node = await stage.node()
    (listed,) = (await script(stage, node, {"op": "list", "repo": repo.id, "recursive": True})).outcomes
    assert sorted(listed.value) == [f"part-{number:04}.txt" for number in range(2100)]


async def test_a_snapshot_with_an_empty_file(stage: Stage) -> None:
    repo = furnished(stage)
    node = await stage.node(workers=2)
    for _ in ("cold", "warm"):
        (outcome,) = (await script(stage, node, {"op": "snapshot", "repo": repo.id})).outcomes
        assert stage.got_all(repo, outcome) == set(repo.commits[repo.head()].files)


ODD_NAMES = (
    "sub dir/\u00fcn\u00ef [1] + 1.txt",
    "a+b {2}.bin",
    'quo\'te "double".txt',
    ".gitattributes",
    "x" * 200 + ".json",
    "\u65e5\u672c\u8a9e/\U0001f600.txt",
    "a&b=c;d,e@f:g.txt",
    "(brackets)/~tilde!.txt",
)
"""Without # and %, which the library sends as they are."""


async def test_names_that_need_quoting_arrive(stage: Stage) -> None:
    """HUB-PROTOCOL §7.19: one by one, and all of them as a snapshot."""
    repo = stage.repo("acme/odd")
    for name in ODD_NAMES:
        repo.put_text(name, f"the content of {name}")
    repo.put_text("empty.txt", b"")
    repo.put_blob("large \u00fc file.safetensors", 2 * MIB)
    repo.commit("Upload")
    node = await stage.node(workers=2)
    singles = [{"op": "download", "repo": repo.id, "path": name} for name in ODD_NAMES]
    done = await script(stage, node, *singles, {"op": "snapshot", "repo": repo.id})
    *found, snapshot = done.outcomes
    for name, outcome in zip(ODD_NAMES, found, strict=True):
        assert outcome.value["sha256"] == expected(repo, name).sha256, name
        stage.wants(expected(repo, name))
    assert stage.got_all(repo, snapshot) == {*ODD_NAMES, "empty.txt", "large \u00fc file.safetensors"}


async def test_questions_about_a_repo(stage: Stage) -> None:
    repo = furnished(stage)
    repo.put_text("config.json", b"{}")
    repo.commit("Again")
    stage.wants(expected(repo, LARGE))
    node = await stage.node()
    done = await script(
        stage,
        node,
        {"op": "model", "name": repo.id},
        {"op": "exists", "repo": repo.id, "path": "config.json"},
        {"op": "exists", "repo": repo.id, "path": LARGE},
        {"op": "exists", "repo": repo.id, "path": "nowhere.json"},
        {"op": "paths", "repo": repo.id, "paths": [LARGE, "sub"]},
        {"op": "commits", "repo": repo.id, "batchSize": 1},
        {"op": "cached", "repo": repo.id, "path": "config.json"},
    )
    model, there, large_there, nowhere, paths, commits, cached = (outcome.value for outcome in done.outcomes)
    assert (model["name"], model["sha"]) == (repo.id, repo.head())
    assert f"GET {node.url}/api/models/{repo.id}/revision/HEAD" in {line.partition("?")[0] for line in done.fetched}
    assert (there, large_there, nowhere) == (True, True, False)
    assert [(one["path"], one["type"]) for one in paths] == [(LARGE, "file"), ("sub", "directory")]
    assert paths[0]["lfs"]["oid"] == expected(repo, LARGE).etag
    assert "xetHash" not in paths[0]
    assert commits == [commit.id for commit in repo.history(repo.head())]
    assert cached["sha256"] == digest(b"{}")


async def test_who_may_not_read_is_told_so(stage: Stage) -> None:
    alice, bob = stage.user("alice"), stage.user("bob")
    repo = stage.world.add_model("acme/secret", private=True)
    repo.put_blob(LARGE, 2 * MIB)
    repo.commit("Upload")
    repo.grant("alice")
    file = expected(repo, LARGE)
    stage.wants(file)
    node = await stage.node()
    call = {"op": "download", "repo": repo.id, "path": LARGE}
    (by_alice,) = (await script(stage, node, call, token=alice)).outcomes
    (by_bob,) = (await script(stage, node, call, token=bob)).outcomes
    (by_nobody,) = (await script(stage, node, call)).outcomes
    assert by_alice.value == {"size": file.size, "sha256": file.sha256}
    assert (by_bob.error[0], by_nobody.error[0]) == ("HubApiError", "HubApiError"), (by_bob, by_nobody)


async def test_a_bucket_is_refused_in_plain_words(stage: Stage) -> None:
    node = await stage.node()
    bucket = {"type": "bucket", "name": "acme/pail"}
    done = await script(
        stage,
        node,
        {"op": "list", "repo": bucket},
        {"op": "info", "repo": bucket, "path": "a.bin"},
        {"op": "exists", "repo": bucket, "path": "a.bin"},
    )
    for outcome in done.outcomes:
        assert outcome.error, f"{outcome.op} must not look as if the bucket were empty: {outcome}"
    # (of a HEAD it can only say that there is no JSON in it)
    assert all("bucket" in outcome.text for outcome in done.outcomes[:2]), done.outcomes
