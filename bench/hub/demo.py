"""A small, lifelike world to look at: a sharded public model, a dataset, a private repo and a gated one."""

import json

from .content import KIB
from .world import Repo, World

MODEL = "acme/riverbed-7b"
DATASET = "acme/rainfall"
PRIVATE = "acme/spillway-draft"
GATED = "acme/dam-guard"
TOKENS = {"alice": "hf_alice", "bob": "hf_bob"}
SHARDS = 3

_CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
tags:
- synthetic
- water
---
# Riverbed 7B

A model that does not exist, in three shards whose every byte is a function of its place.
"""


def build(world: World, size: int) -> None:
    """Fill the world; `size` is that of one shard. Alice may read everything, Bob only what is public."""
    for name, token in TOKENS.items():
        world.add_user(name, token=token)
    _model(world.add_model(MODEL), size)
    _dataset(world.add_dataset(DATASET), size)
    for repo in (world.add_model(PRIVATE, private=True), world.add_model(GATED, gated=True)):
        repo.put_text("README.md", f"---\nlicense: other\n---\n# {repo.id}\n")
        repo.put_text("config.json", '{"model_type": "synthetic"}\n')
        repo.put_blob("model.safetensors", size)
        repo.commit("Upload model")
        repo.grant("alice")


def _model(repo: Repo, size: int) -> None:
    repo.put_text(".gitattributes", "*.safetensors filter=lfs diff=lfs merge=lfs -text\n")
    repo.put_text("README.md", _CARD)
    repo.put_text("config.json", json.dumps({"model_type": "synthetic", "hidden_size": 4096}, indent=2) + "\n")
    repo.put_text("tokenizer_config.json", '{"model_max_length": 4096}\n')
    vocabulary = {f"token{number}": number for number in range(20_000)}
    repo.put_text("tokenizer.json", json.dumps({"version": "1.0", "model": {"type": "WordLevel", "vocab": vocabulary}}))
    repo.commit("Add configuration and tokenizer")
    shards = [f"model-{number:05d}-of-{SHARDS:05d}.safetensors" for number in range(1, SHARDS + 1)]
    for shard in shards:
        repo.put_blob(shard, size)
    index = {
        "metadata": {"total_size": SHARDS * size},
        "weight_map": {f"layer.{at}": name for at, name in enumerate(shards)},
    }
    repo.put_text("model.safetensors.index.json", json.dumps(index, indent=2) + "\n")
    repo.commit("Upload weights")
    repo.tag("v1.0")
    repo.branch("dev")
    repo.pull_request(1)


def _dataset(repo: Repo, size: int) -> None:
    repo.put_text("README.md", "---\nlicense: cc-by-4.0\ntags:\n- synthetic\n---\n# Rainfall\n")
    repo.put_text("data/train.csv", "day,millimetres\n" + "".join(f"{day},{day % 17}\n" for day in range(365)))
    repo.put_blob("data/train-00000-of-00001.parquet", max(64 * KIB, size // 16))
    repo.commit("Upload data")
