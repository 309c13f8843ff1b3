"""HUB-PROTOCOL §7.23: diffusers, vLLM, TGI and TEI as they fetch a model.

None of them can be installed here: their calls are made, in their order and with the patterns they compute, by the real
huggingface_hub that they call, and by hf-hub's protocol where they are Rust.
"""

from __future__ import annotations

import asyncio
import fnmatch
import json
import struct
from typing import Any

import pytest

from bench.hub.content import KIB, MIB
from bench.hub.repo import Repo
from tests.kit.clients import CURRENT
from tests.kit.files import all_files, digest, expected
from tests.kit.hfhub import Failed, HfHub
from tests.kit.node import Node
from tests.kit.stage import Stage

LONG = {"freshness__ref_ttl": "120s", "freshness__listing_ttl": "120s", "freshness__allow_ttl": "120s"}

# --- diffusers: DiffusionPipeline.download (0.42) -----------------------------------------------------------------

WEIGHTS = (
    "text_encoder/model.safetensors",
    "text_encoder/model.fp16.safetensors",
    "text_encoder/pytorch_model.bin",
    "text_encoder/pytorch_model.fp16.bin",
    "unet/diffusion_pytorch_model.bin",
    "unet/diffusion_pytorch_model.safetensors",
    "unet/diffusion_pytorch_model.fp16-00001-of-00002.safetensors",
    "unet/diffusion_pytorch_model.fp16-00002-of-00002.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.bin",
    "sd-v1.ckpt",
    "sd-v1.safetensors",
)
TEXTS = (
    "README.md",
    "model_index.json",
    "feature_extractor/preprocessor_config.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "tokenizer/merges.txt",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors.index.fp16.json",
    "vae/config.json",
)
IGNORED = ["*.bin", "*.msgpack", "*.onnx", "*.pb"]
IGNORED += [f"{pattern}.index.*json" for pattern in IGNORED]
AROUND = [
    *("feature_extractor/*", "scheduler/*", "tokenizer/*"),
    *("text_encoder/config.json", "unet/config.json", "vae/config.json"),
    *("scheduler_config.json", "config.json", "model_index.json", "pipeline.py"),
    *("chat_template.jinja", "generation_config.json", "preprocessor_config.json", "processor_config.json"),
    *("tokenizer.json", "tokenizer_config.json"),
]
PLAIN = [
    "text_encoder/model.safetensors",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
]
HALVES = [
    "text_encoder/model.fp16.safetensors",
    "unet/diffusion_pytorch_model.fp16-00001-of-00002.safetensors",
    "unet/diffusion_pytorch_model.fp16-00002-of-00002.safetensors",
    "unet/diffusion_pytorch_model.safetensors.index.fp16.json",
    "vae/diffusion_pytorch_model.safetensors",
]
"""The VAE has no variant: a mixture is loaded."""


def pipeline(stage: Stage) -> Repo:
    repo = stage.repo("acme/tiny-diffusion")
    for path in TEXTS:
        repo.put_text(path, f'{{"file": "{path}"}}')
    for number, path in enumerate(WEIGHTS):
        repo.put_blob(path, MIB + number)
    repo.commit("Upload")
    return repo


@pytest.mark.parametrize("weights", [PLAIN, HALVES], ids=["no variant", "fp16"])
async def test_a_diffusers_pipeline_takes_its_folders_and_its_variant(stage: Stage, weights: list[str]) -> None:
    repo = pipeline(stage)
    node = await stage.node(workers=2)
    stage.expect_origin_exact()
    start: list[dict[str, Any]] = [
        {"op": "api", "method": "model_info", "args": [repo.id]},
        {"op": "download", "repo_id": repo.id, "filename": "model_index.json"},
        {"op": "snapshot", "repo_id": repo.id, "allow_patterns": [*weights, *AROUND], "ignore_patterns": IGNORED},
    ]
    around = {path for path in TEXTS if any(fnmatch.fnmatch(path, pattern) for pattern in AROUND)}
    for _ in ("cold", "warm"):
        info, index, snapshot = await stage.client(CURRENT, node, [dict(call) for call in start])
        assert {one["rfilename"] for one in info.value["siblings"]} == {*TEXTS, *WEIGHTS}
        stage.got(expected(repo, "model_index.json"), index)
        assert stage.got_all(repo, snapshot) == {*weights, *around}


# --- vLLM: get_config, download_weights_from_hf, download_safetensors_index_file_from_hf --------------------------


def shard(tensor: str, size: int) -> bytes:
    """A safetensors file of one tensor."""
    header = json.dumps({tensor: {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(range(256)) * (size // 256)


SHARDS = {"model-00001-of-00002.safetensors": "a.weight", "model-00002-of-00002.safetensors": "b.weight"}


def causal_model(stage: Stage) -> Repo:
    repo = stage.repo("acme/tiny-llm")
    repo.put_text("config.json", '{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}')
    repo.put_text("generation_config.json", "{}")
    repo.put_text("tokenizer.json", "{}")
    repo.put_text("tokenizer_config.json", "{}")
    for number, (path, tensor) in enumerate(SHARDS.items()):
        repo.put_bytes(path, shard(tensor, 3 * MIB + number * 256), lfs=True)
    index = {"metadata": {"total_size": 6 * MIB + 256}, "weight_map": {name: path for path, name in SHARDS.items()}}
    repo.put_text("model.safetensors.index.json", json.dumps(index))
    repo.put_bytes("original/8B/consolidated.safetensors", shard("c.weight", 4 * MIB), lfs=True)
    repo.put_blob("pytorch_model.bin", 3 * MIB)
    repo.commit("Upload")
    return repo


def vllm_start(repo: Repo) -> list[dict[str, Any]]:
    wanted = {"repo_id": repo.id}
    return [
        {"op": "api", "method": "file_exists", "args": [repo.id, "config.json"]},
        {"op": "download", **wanted, "filename": "config.json"},
        {"op": "api", "method": "list_repo_files", "args": [repo.id]},
        {"op": "download", **wanted, "filename": "generation_config.json"},
        {"op": "download", **wanted, "filename": "preprocessor_config.json"},
        {"op": "api", "method": "get_safetensors_metadata", "args": [repo.id]},
        {"op": "filesystem", "method": "ls", "args": [repo.id], "detail": False},
        {"op": "snapshot", **wanted, "allow_patterns": "*.safetensors", "ignore_patterns": ["original/**/*"]},
        {"op": "download", **wanted, "filename": "model.safetensors.index.json"},
    ]


async def vllm(stage: Stage, node: Node, repo: Repo) -> None:
    """One start with an empty cache; what it got is compared."""
    outcomes = await stage.client(CURRENT, node, vllm_start(repo))
    exists, config, files, generation, missing, metadata, listed, weights, index = outcomes
    assert exists.value is True
    stage.got(expected(repo, "config.json"), config)
    paths = {file.path for file in all_files(repo)}
    assert set(files.value) == paths
    stage.got(expected(repo, "generation_config.json"), generation)
    assert missing.raised("EntryNotFoundError"), missing
    assert metadata.value["weight_map"] == {name: path for path, name in SHARDS.items()}
    tops = {path.partition("/")[0] for path in paths}
    assert set(listed.value) == {f"{repo.id}/{path}" for path in tops}
    assert stage.got_all(repo, weights) >= {*SHARDS, "config.json"}  # the folder holds what came before, too
    assert "original/8B/consolidated.safetensors" not in weights.value["files"]
    stage.got(expected(repo, "model.safetensors.index.json"), index)


async def test_vllm_starts_on_two_machines_at_once_and_then_on_a_third(stage: Stage) -> None:
    repo = causal_model(stage)
    node = await stage.node(workers=2, **LONG)
    stage.expect_origin_exact()
    await asyncio.gather(vllm(stage, node, repo), vllm(stage, node, repo))
    asked = stage.hub.counters.total_requests()
    await vllm(stage, node, repo)
    assert stage.hub.counters.total_requests() == asked


# --- TGI: the router in Rust, the launcher's download-weights in Python -------------------------------------------


async def test_tgi_asks_by_two_clients_and_is_told_that_there_is_no_adapter(stage: Stage) -> None:
    repo = causal_model(stage)
    node = await stage.node(workers=2, **LONG)
    launcher: list[dict[str, Any]] = [
        {"op": "download", "repo_id": repo.id, "filename": "adapter_config.json"},
        {"op": "api", "method": "model_info", "args": [repo.id]},
        *({"op": "download", "repo_id": repo.id, "filename": path} for path in SHARDS),
    ]
    adapter, info, *shards = await stage.client("0.36.2", node, launcher)
    assert adapter.raised("EntryNotFoundError"), adapter
    weights = [one["rfilename"] for one in info.value["siblings"] if one["rfilename"].endswith(".safetensors")]
    assert {path for path in weights if "/" not in path} == set(SHARDS)
    for path, outcome in zip(SHARDS, shards, strict=True):
        stage.got(expected(repo, path), outcome)
    router = HfHub(node.url)
    assert {one["rfilename"] for one in (await router.info(repo.id))["siblings"]} >= set(weights)
    for path in ("tokenizer.json", "config.json", "tokenizer_config.json"):
        file = expected(repo, path)
        stage.wants(file)
        assert digest(await HfHub(node.url).by_reqwest(repo.id, path)) == file.sha256
    assert await missing(node, repo, "preprocessor_config.json", "processor_config.json") == [404, 404]


# --- TEI: hf-hub alone (core/src/download.rs, backends) ----------------------------------------------------------

OPTIONAL = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "config_sentence_transformers.json",
    "2_Dense/config.json",
    "model.safetensors.index.json",
)


async def test_tei_finds_what_there_is_and_asks_once_for_what_there_is_not(stage: Stage) -> None:
    repo = stage.repo("acme/tiny-embedding")
    present = ["1_Pooling/config.json", "config.json", "tokenizer.json", "modules.json"]
    for path in present:
        repo.put_text(path, f'{{"file": "{path}"}}')
    repo.put_blob("model.safetensors", 12_000_001)
    repo.commit("Upload")
    node = await stage.node(workers=2, **LONG)
    stage.others_ask()
    stage.allow_origin(None)  # a download whose ranges are all read is let go, with what is on its way
    asked = []
    for _ in ("cold", "warm"):
        assert (await HfHub(node.url).info(repo.id))["sha"] == repo.head()
        assert await missing(node, repo, *OPTIONAL) == [404] * len(OPTIONAL)
        for path in (*present, "model.safetensors"):
            content = await HfHub(node.url, max_files=4, chunk=512 * KIB).by_reqwest(repo.id, path)
            assert digest(content) == expected(repo, path).sha256, path
        asked.append(stage.hub.counters.total_requests())
    assert asked[0] == asked[1], "what is missing at a commit is missing for ever"


async def missing(node: Node, repo: Repo, *paths: str) -> list[int]:
    """The statuses with which files are refused."""
    statuses = []
    for path in paths:
        with pytest.raises(Failed) as failed:
            await HfHub(node.url).metadata(repo.id, path)
        statuses.append(failed.value.status)
    return statuses
