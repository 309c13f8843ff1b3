"""HUB-PROTOCOL §7.25: the Rust crate hf-hub through the mirror.

1.0 is the real one, inside a wheel that loads models with it; 0.4 and 0.5 are replayed, call by call.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.hub.content import MIB
from bench.hub.repo import Repo
from tests.kit.clients import RUST, Outcome
from tests.kit.files import digest, expected
from tests.kit.hfhub import AGENT, Failed, HfHub
from tests.kit.node import Node
from tests.kit.stage import Stage
from tests.scenarios.test_real_model import REPO, served

LARGE = "model.safetensors"
SIZE = 25_000_000
CONFIG = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "vocab_size": 30522,
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}


def furnished(stage: Stage, repo_id: str = "acme/tiny", size: int = SIZE, **traits: Any) -> Repo:
    """A model that is fetched whole, and found to be none when it is opened."""
    repo = stage.world.add_model(repo_id, **traits)
    repo.put_text("config.json", json.dumps(CONFIG))
    repo.put_text(
        "tokenizer.json", b'{"version": "1.0", "model": {"type": "WordLevel", "vocab": {}, "unk_token": "?"}}'
    )
    repo.put_blob(LARGE, size)
    repo.commit("Upload")
    repo.grant("alice")
    return repo


def got_model(stage: Stage, repo: Repo, outcome: Outcome) -> set[str]:
    """Each file that the crate has kept is compared; returns their paths."""
    files = outcome.value["files"]
    for path, found in files.items():
        file = stage.got(expected(repo, path), Outcome(path, ok=found))
        assert found["blob"] == file.etag
    return set(files)


def asked(node: Node) -> list[tuple[str, str, int]]:
    return [(record["method"], record["path"], record["status"]) for record in node.access_records()]


async def test_a_real_model_is_loaded_and_then_only_asked_about(stage: Stage) -> None:
    """The second run has the crate's cache: each file is a HEAD with its tag, and a 304."""
    repo = served(stage)
    node = await stage.node(workers=2, fetch__span="16MiB")
    client = stage.fresh_client(RUST, node)
    load: dict[str, Any] = {"op": "load", "model_id": REPO}
    (cold,) = await stage.client(RUST, node, [dict(load)], client=client)
    assert cold.value["failure"] == ""
    assert cold.value["main"] == repo.head()
    assert got_model(stage, repo, cold) == {"config.json", "tokenizer.json", LARGE}
    before = len(asked(node))
    embed = {"op": "embed", "model_id": REPO, "text": "The penstock carries water."}
    (numbers,) = await stage.client(RUST, node, [embed], client=client)
    assert len(numbers.value) == 384
    again = asked(node)[before:]
    assert {method for method, _, _ in again} == {"HEAD"}
    assert {path for _, path, status in again if status == 304} == {"config.json", "tokenizer.json", LARGE}
    assert all("hf-hub" in str(record["ua"]) for record in node.access_records())
    assert all("hf-hub" not in record.headers.get("user-agent", "") for record in stage.hub.log)


async def test_an_advertised_file_comes_to_the_crate_by_xet(stage: Stage) -> None:
    repo = furnished(stage)
    node = await stage.node(workers=2, xet__advertise_above=0)
    (outcome,) = await stage.client(RUST, node, [{"op": "load", "model_id": repo.id}])
    assert LARGE in got_model(stage, repo, outcome)
    bodies = {record["route"] for record in node.access_records() if record["bytes"] > MIB}
    assert bodies == {"xet"}
    assert not any(record.plane == "cas" for record in stage.hub.log)


async def test_a_private_model_is_for_its_reader(stage: Stage) -> None:
    alice, bob = stage.user("alice"), stage.user("bob")
    repo = furnished(stage, "acme/secret", 2 * MIB, private=True)
    node = await stage.node(workers=2)
    load = {"op": "load", "model_id": repo.id}
    (hers,) = await stage.client(RUST, node, [dict(load)], token=alice)
    assert got_model(stage, repo, hers) == {"config.json", "tokenizer.json", LARGE}
    for token, words in ((bob, "Entry not found"), (None, "error_code=RepoNotFound")):  # its word for any 404
        (refused,) = await stage.client(RUST, node, [dict(load)], token=token)
        assert not refused.value["files"]
        assert words in refused.value["failure"], refused


async def test_a_file_that_is_not_there_is_called_so(stage: Stage) -> None:
    repo = stage.repo("acme/bare")
    repo.put_text("config.json", json.dumps(CONFIG))
    repo.commit("Upload")
    node = await stage.node()
    (outcome,) = await stage.client(RUST, node, [{"op": "load", "model_id": repo.id}])
    assert "Entry not found: tokenizer.json" in outcome.value["failure"], outcome
    got_model(stage, repo, outcome)
    markers = list(Path(stage.folder).glob("client-*/hub/models--acme--bare/.no_exist/*/tokenizer.json"))
    assert [marker.parent.name for marker in markers] == [repo.head()]


@pytest.mark.parametrize("revision", ["main", "refs/pr/1", "pinned"])
async def test_the_synchronous_crate_probes_and_goes_on_where_it_was_cut(stage: Stage, revision: str) -> None:
    repo = furnished(stage)
    repo.pull_request(1)
    file = expected(repo, LARGE)
    stage.wants(file)
    stage.others_ask()
    stage.allow_origin(16 * MIB)  # what was on its way to the probe, and to the one that was killed
    node = await stage.node(workers=2)
    crate = HfHub(node.url, revision=repo.head() if revision == "pinned" else revision)
    probed = await crate.metadata(repo.id, LARGE)
    assert (probed.commit, probed.etag, probed.size) == (repo.head(), file.etag, SIZE)
    cut = await crate.by_ureq(repo.id, LARGE, leave_after=11_000_000)
    assert 11_000_000 <= len(cut) < SIZE
    assert digest(await crate.by_ureq(repo.id, LARGE)) == file.sha256
    assert digest(await HfHub(node.url).by_ureq(repo.id, LARGE)) == file.sha256


@pytest.mark.parametrize("max_files", [1, 4])
async def test_the_asynchronous_crate_takes_ranges_and_goes_on_behind_the_last(stage: Stage, max_files: int) -> None:
    """Its last range ends one byte past the end where the size is no multiple of 10 MB."""
    repo = furnished(stage)
    file = expected(repo, LARGE)
    stage.wants(file)
    stage.others_ask()
    stage.allow_origin(None)  # a download whose ranges are all read is let go, with what is on its way
    node = await stage.node(workers=2)
    crate = HfHub(node.url, max_files=max_files)
    assert len(await crate.by_reqwest(repo.id, LARGE, chunks=1)) == crate.chunk
    assert digest(await crate.by_reqwest(repo.id, LARGE)) == file.sha256
    warm = HfHub(node.url, max_files=max_files, chunk=4_000_000)
    assert digest(await warm.by_reqwest(repo.id, LARGE)) == file.sha256


async def test_small_empty_and_odd_files_have_a_size_for_the_crate(stage: Stage) -> None:
    """HUB-PROTOCOL §5.4, §7.19: it knows no size but that in Content-Range, of small and empty files too."""
    repo = stage.repo("acme/odd")
    names = ["config.json", "empty.txt", "sub dir/\u00fcn\u00ef [1] + 1.txt", "{braces}.txt"]
    for name in names:
        repo.put_text(name, b"" if name == "empty.txt" else f"the content of {name}")
    repo.commit("Upload")
    node = await stage.node()
    stage.others_ask()
    for name in names:
        file = expected(repo, name)
        stage.wants(file)
        found = await HfHub(node.url).metadata(repo.id, name)
        assert (found.commit, found.etag, found.size) == (repo.head(), file.etag, file.size), name
        for crate in (HfHub(node.url).by_ureq, HfHub(node.url).by_reqwest):
            assert digest(await crate(repo.id, name)) == file.sha256, name


async def test_datasets_and_what_is_missing_are_told_by_their_status(stage: Stage) -> None:
    dataset = stage.world.add_dataset("acme/rows", private=True)
    dataset.put_bytes("rows.parquet", b"PAR1" * 1000, lfs=True)
    dataset.commit("Upload")
    dataset.grant("alice")
    alice = stage.user("alice")
    node = await stage.node()
    stage.others_ask()
    file = expected(dataset, "rows.parquet")
    stage.wants(file)
    hers = HfHub(node.url, alice)
    assert (await hers.info("datasets/acme/rows"))["sha"] == dataset.head()
    for crate in (HfHub(node.url, alice).by_ureq, HfHub(node.url, alice).by_reqwest):
        assert digest(await crate("datasets/acme/rows", "rows.parquet")) == file.sha256
    for crate_of, path, status in ((hers, "nowhere.json", 404), (HfHub(node.url), "rows.parquet", 401)):
        with pytest.raises(Failed) as failed:
            await crate_of.by_ureq("datasets/acme/rows", path)
        assert failed.value.status == status
    assert {f"{name}/{version}" for record in node.access_records() for name, version in record["ua"].items()} >= {
        AGENT.split("; ")[1]
    }
