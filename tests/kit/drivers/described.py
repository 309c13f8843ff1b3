"""What a driver says of a file that its client holds. Runs under every Python that a client has."""

import hashlib
import pathlib
from typing import Any


def described(path: pathlib.Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    real = path.resolve()
    return {"path": str(path), "blob": real.name, "size": real.stat().st_size, "sha256": digest.hexdigest()}
