"""HUB-PROTOCOL §7.21, §7.22: transformers and datasets through the mirror."""

from __future__ import annotations

import json
import struct
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers

from bench.hub.repo import Repo
from tests.kit.clients import LIBRARIES, Client, Outcome
from tests.kit.files import all_files, expected
from tests.kit.node import Node
from tests.kit.stage import Stage

ROWS = [{"number": number, "word": f"word {number}"} for number in range(500)]
WEIGHTS = [0.5, -1.0, 2.25, 8.0]


def small_model(stage: Stage) -> Repo:
    """A model of one tensor, with a configuration and a tokenizer that transformers takes."""
    tokenizer = Tokenizer(models.WordLevel({"the": 0, "penstock": 1, "carries": 2, "water": 3, "?": 4}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    header = json.dumps({"weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}).encode()
    repo = stage.repo("acme/tiny-bert")
    repo.put_text("config.json", json.dumps({"model_type": "bert", "hidden_size": 2, "num_attention_heads": 1}))
    repo.put_text("tokenizer.json", tokenizer.to_str())
    repo.put_text("tokenizer_config.json", json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "?"}))
    weights = struct.pack("<Q", len(header)) + header + struct.pack("<4f", *WEIGHTS)
    repo.put_bytes("model.safetensors", weights, lfs=True)
    repo.commit("Upload")
    want_all(stage, repo)
    return repo


def rows_repo(stage: Stage, repo_id: str, path: str, content: bytes, *, lfs: bool = True) -> Repo:
    repo = stage.world.add_dataset(repo_id)
    repo.put_text("README.md", "---\nlicense: mit\n---\n# Rows\n")
    repo.put_bytes(path, content, lfs=lfs)
    repo.commit("Upload")
    want_all(stage, repo)
    return repo


def want_all(stage: Stage, repo: Repo) -> None:
    for file in all_files(repo):
        stage.wants(file)


async def parquet(stage: Stage, client: Client) -> bytes:
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    file = stage.folder / "rows.parquet"
    call = {"op": "make_parquet", "columns": columns, "to": str(file), "row_group_size": 50}
    assert (await client.run([call]))[0].value > 0
    return file.read_bytes()


async def made(stage: Stage, node: Node, *calls: dict[str, Any], client: Client | None = None) -> list[Outcome]:
    client = client or stage.fresh_client(LIBRARIES, node)
    return await stage.client(LIBRARIES, node, list(calls), client=client)


def by_number(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: int(row["number"]))


async def test_a_configuration_a_tokenizer_and_the_weights(stage: Stage) -> None:
    """HUB-PROTOCOL §7.21; the second run has the client's cache and no network."""
    repo = small_model(stage)
    node = await stage.node(workers=2)
    client = stage.fresh_client(LIBRARIES, node)
    calls: list[dict[str, Any]] = [
        {"op": "config", "name": repo.id},
        {"op": "tokens", "name": repo.id, "text": "the penstock carries wine"},
        {"op": "tensor", "repo_id": repo.id, "filename": "model.safetensors", "name": "weight"},
    ]
    config, tokens, weights = await made(stage, node, *[dict(call) for call in calls], client=client)
    assert config.value == {"is": "BertConfig", "hidden_size": 2}
    assert tokens.value["ids"] == [0, 1, 2, 4]
    assert weights.value == WEIGHTS
    await stage.hub_off()
    answered = len(node.access_records())
    for online, offline in zip((config, tokens, weights), await client.run(calls, HF_HUB_OFFLINE="1"), strict=True):
        assert offline.value == online.value
    assert len(node.access_records()) == answered


async def test_a_missing_model_is_called_so(stage: Stage) -> None:
    """HUB-PROTOCOL §7.21: and not a broken network."""
    node = await stage.node()
    for outcome in await made(
        stage,
        node,
        {"op": "config", "name": "acme/nowhere"},
        {"op": "tokens", "name": "acme/nowhere", "text": "the"},
    ):
        assert outcome.raised("OSError"), outcome
        assert "is not a valid model identifier" in outcome.text, outcome


async def test_datasets_of_csv_json_and_parquet(stage: Stage) -> None:
    """HUB-PROTOCOL §7.22: cold, then by another client, warm, with nothing fetched again."""
    node = await stage.node(workers=2)
    client = stage.fresh_client(LIBRARIES, node)
    table = "number,word\n" + "".join(f"{row['number']},{row['word']}\n" for row in ROWS)
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    repos = [
        rows_repo(stage, "acme/csv", "rows.csv", table.encode(), lfs=False),
        rows_repo(stage, "acme/json", "data/train.jsonl", lines.encode()),
        rows_repo(stage, "acme/parquet", "data/train-00000-of-00001.parquet", await parquet(stage, client)),
    ]
    for asker in (client, stage.fresh_client(LIBRARIES, node)):
        calls = [{"op": "rows", "args": [repo.id]} for repo in repos]
        for outcome in await made(stage, node, *calls, client=asker):
            assert by_number(outcome.value) == ROWS


async def test_a_stream_is_shuffled_and_taken_from(stage: Stage) -> None:
    """HUB-PROTOCOL §7.22."""
    node = await stage.node(workers=2)
    client = stage.fresh_client(LIBRARIES, node)
    content = await parquet(stage, client)
    lines = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    rows_repo(stage, "acme/parquet", "data/train-00000-of-00001.parquet", content)
    rows_repo(stage, "acme/json", "data/train.jsonl", lines)
    calls = [{"op": "streamed", "args": [name], "take": 40, "seed": 3} for name in ("acme/parquet", "acme/json")]
    for outcome in await made(stage, node, *calls, client=client):
        assert len(outcome.value) == 40
        assert outcome.value != ROWS[:40]
        assert all(row in ROWS for row in outcome.value)


async def test_a_converted_branch_by_its_address(stage: Stage) -> None:
    """HUB-PROTOCOL §7.22: `hf://datasets/…@~parquet`."""
    node = await stage.node(workers=2)
    client = stage.fresh_client(LIBRARIES, node)
    repo = rows_repo(stage, "acme/rows", "rows.csv", b"number,word\n", lfs=False)
    path = "default/train/0000.parquet"
    repo.put_bytes(path, await parquet(stage, client), lfs=True)
    converted = repo.commit("Convert", branch="converted")
    repo.delete_branch("converted")
    repo.converts["parquet"] = converted
    stage.wants(expected(repo, path, converted))
    address = f"hf://datasets/{repo.id}@~parquet/{path}"
    (outcome,) = await made(stage, node, {"op": "rows", "args": ["parquet"], "data_files": address}, client=client)
    assert by_number(outcome.value) == ROWS
