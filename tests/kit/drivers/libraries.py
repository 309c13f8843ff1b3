"""Calls of datasets and transformers, in the words of drivers/hub.py."""

import contextlib
import io
import json
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

Rows = list[dict[str, Any]]


def rows(args: list[Any], **how: Any) -> Rows:
    """All rows of `load_dataset`."""
    from datasets import load_dataset

    return list(load_dataset(*args, split="train", **how))


def streamed(args: list[Any], take: int, seed: int, **how: Any) -> Rows:
    """The first rows of a shuffled stream."""
    from datasets import load_dataset

    stream = load_dataset(*args, split="train", streaming=True, **how)
    return list(stream.shuffle(seed=seed, buffer_size=100).take(take))


def make_parquet(columns: dict[str, list[Any]], to: str, row_group_size: int) -> int:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table(columns), to, row_group_size=row_group_size)
    return pathlib.Path(to).stat().st_size


def config(name: str, **how: Any) -> dict[str, Any]:
    from transformers import AutoConfig

    found = AutoConfig.from_pretrained(name, **how)
    return {"is": type(found).__name__, "hidden_size": found.hidden_size}


def tokens(name: str, text: str, **how: Any) -> dict[str, Any]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(name, **how)
    return {"is": type(tokenizer).__name__, "ids": tokenizer(text)["input_ids"]}


def tensor(repo_id: str, filename: str, name: str) -> list[float]:
    """One tensor of a model's weights, as loaders without a framework read it."""
    from huggingface_hub import hf_hub_download
    from safetensors.numpy import load_file

    return [float(value) for value in load_file(hf_hub_download(repo_id, filename))[name].ravel()]


OPS: dict[str, Callable[..., Any]] = {
    "rows": rows,
    "streamed": streamed,
    "make_parquet": make_parquet,
    "config": config,
    "tokens": tokens,
    "tensor": tensor,
}


def outcome(call: dict[str, Any]) -> dict[str, Any]:
    op = call.pop("op")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return {"op": op, "ok": OPS[op](**call)}
    except Exception as error:  # noqa: BLE001 - the class is the result
        return {"op": op, "error": [kind.__name__ for kind in type(error).__mro__], "text": str(error)}


if __name__ == "__main__":
    done = [outcome(call) for call in json.load(sys.stdin)["calls"]]
    json.dump(done, sys.stdout, default=str)
    sys.stdout.flush()
    os._exit(0)  # the streams of datasets leave threads behind that do not end by themselves
