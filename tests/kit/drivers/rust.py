"""Calls of the Rust crate hf-hub, in the words of drivers/hub.py: of its users, the wheel embed_anything carries it.

The extension is loaded by itself: the package around it wants an engine for models that are not loaded here.
"""

import importlib.util
import json
import os
import pathlib
import sys
from collections.abc import Callable
from importlib.machinery import ExtensionFileLoader, PathFinder
from typing import Any

from described import described

NAME = "_embed_anything"


def extension() -> Any:
    package = PathFinder.find_spec("embed_anything")
    assert package is not None, "embed_anything is not installed here"
    (folder,) = package.submodule_search_locations or ()
    (library,) = pathlib.Path(folder).glob(f"{NAME}*.so")
    spec = importlib.util.spec_from_file_location(NAME, library, loader=ExtensionFileLoader(NAME, str(library)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(model_id: str, **how: Any) -> dict[str, Any]:
    """Let it load a model; what it then has of it in its cache, and why it would not run."""
    failure = ""
    try:
        extension().EmbeddingModel.from_pretrained_hf(model_id=model_id, **how)
    except BaseException as error:
        if type(error).__name__ not in ("ValueError", "PanicException"):  # the latter is nobody's to import
            raise
        failure = str(error)
    return {"failure": failure, **kept(model_id)}


def embed(model_id: str, text: str, **how: Any) -> list[float]:
    """The numbers a model makes of a text."""
    (found,) = extension().EmbeddingModel.from_pretrained_hf(model_id=model_id, **how).embed_query([text])
    return [float(number) for number in found.embedding]


def kept(model_id: str) -> dict[str, Any]:
    """Every file of the model in the cache, by its path, and the commit that `main` is."""
    home = pathlib.Path(os.environ["HF_HOME"]) / "hub" / f"models--{model_id.replace('/', '--')}"
    refs = home / "refs" / "main"
    files: dict[str, Any] = {}
    for snapshot in sorted((home / "snapshots").glob("*")):
        found = (path for path in snapshot.rglob("*") if path.is_file())
        files |= {path.relative_to(snapshot).as_posix(): described(path) for path in found}
    return {"files": files, "main": refs.read_text() if refs.exists() else ""}


OPS: dict[str, Callable[..., Any]] = {"load": load, "embed": embed}


def outcome(call: dict[str, Any]) -> dict[str, Any]:
    op = call.pop("op")
    try:
        return {"op": op, "ok": OPS[op](**call)}
    except Exception as error:  # noqa: BLE001 - the class is the result
        return {"op": op, "error": [kind.__name__ for kind in type(error).__mro__], "text": str(error)}


if __name__ == "__main__":
    print("\n" + json.dumps([outcome(call) for call in json.load(sys.stdin)["calls"]]))
