"""Calls of huggingface_hub, from a JSON job on standard input to JSON outcomes on standard output.

    {"calls": [{"op": "download", "repo_id": "acme/tiny", "filename": "config.json"}], "constants": {}}
    [{"op": "download", "ok": {"path": …, "sha256": …, "size": …}}]

Runs under every version the tests know, so it imports nothing of this project.
"""

import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import huggingface_hub
from described import described
from huggingface_hub import HfApi, HfFileSystem


def download(**how: Any) -> dict[str, Any]:
    return described(pathlib.Path(huggingface_hub.hf_hub_download(**how)))


def snapshot(**how: Any) -> dict[str, Any]:
    """The folder, and every file in it by its path."""
    folder = pathlib.Path(huggingface_hub.snapshot_download(**how))
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and ".cache" not in path.parts]
    return {"folder": str(folder), "files": {path.relative_to(folder).as_posix(): described(path) for path in files}}


def api(method: str, args: list[Any] | None = None, **how: Any) -> Any:
    """Any method of HfApi; iterators are read to their end."""
    value = getattr(HfApi(), method)(*(args or []), **how)
    return plain(list(value) if hasattr(value, "__next__") else value)


def filesystem(method: str, args: list[Any] | None = None, **how: Any) -> Any:
    """Any method of HfFileSystem."""
    value = getattr(HfFileSystem(), method)(*(args or []), **how)
    return described_bytes(value) if isinstance(value, bytes) else plain(value)


def read_parts(path: str, parts: list[list[int]], block_size: int | None = None) -> list[dict[str, Any]]:
    """Open a file once, then for each (offset, length) seek and read; a negative offset counts from the end."""
    options = {} if block_size is None else {"block_size": block_size}
    found = []
    with HfFileSystem().open(path, **options) as file:
        for offset, length in parts:
            if block_size != 0:
                file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
            found.append(described_bytes(file.read(length)))
    return found


def get_file(path: str, to: str) -> dict[str, Any]:
    HfFileSystem().get_file(path, to)
    return described(pathlib.Path(to))


def described_bytes(content: bytes) -> dict[str, Any]:
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def plain(value: Any) -> Any:
    """Something JSON can hold: objects by their attributes."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(one) for one in value]
    if hasattr(value, "__dict__"):
        return {"is": type(value).__name__} | {key: plain(one) for key, one in vars(value).items() if key[0] != "_"}
    return str(value)


OPS: dict[str, Callable[..., Any]] = {
    "download": download,
    "snapshot": snapshot,
    "api": api,
    "filesystem": filesystem,
    "read_parts": read_parts,
    "get_file": get_file,
}


def outcome(call: dict[str, Any]) -> dict[str, Any]:
    op = call.pop("op")
    try:
        return {"op": op, "ok": OPS[op](**call)}
    except Exception as error:  # noqa: BLE001 - the class is the result
        names = [kind.__name__ for kind in type(error).__mro__]
        return {"op": op, "error": names, "text": str(error)}


if __name__ == "__main__":
    job = json.load(sys.stdin)
    for name, value in job.get("constants", {}).items():
        assert hasattr(huggingface_hub.constants, name), name
        setattr(huggingface_hub.constants, name, value)
    print("\n" + json.dumps([outcome(call) for call in job["calls"]]))
