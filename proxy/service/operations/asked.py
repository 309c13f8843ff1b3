"""What operations ask for: fields that several share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from proxy.core.blob import BlobKey
from proxy.core.sizes import parse_size

from .shape import Asked

_REPO = r"((models|datasets|spaces|kernels)/)?[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)?"
REPO_AT = rf"^{_REPO}(@.+)?$"
"""A repo, perhaps at a revision."""

RepoName = Annotated[
    str,
    Field(
        pattern=rf"^{_REPO}$",
        max_length=250,
        description="A repo: acme/tiny, or datasets/acme/rows.",
        examples=["acme/tiny"],
    ),
]
RevisionName = Annotated[
    str, Field(min_length=1, max_length=250, description="A branch, tag or commit.", examples=["main"])
]
Patterns = Annotated[
    tuple[str, ...], Field(max_length=100, description="Globs over whole paths; one that ends in / is a folder.")
]


def _size(said: object) -> object:
    return parse_size(said) if isinstance(said, str) else said


Bytes = Annotated[int, BeforeValidator(_size)]
"""Also spelled as people do ("50MB"). Raises as pydantic does."""
ByteRate = Annotated[
    Annotated[Bytes, Field(ge=1024)] | None, Field(description="Bytes a second at most; null: no cap.")
]


def _key(said: object) -> object:
    text = str(said)
    return str(BlobKey.parse(text if ":" in text else f"sha256:{text}"))


KeyText = Annotated[
    str, BeforeValidator(_key), Field(description="A blob: sha256: (or etag:) and 64 hexadecimal digits.")
]


class FilesAsked(Asked):
    """Files of a repo at a revision."""

    repo: RepoName
    revision: RevisionName = "main"
    include: Patterns = ()
    exclude: Patterns = ()
