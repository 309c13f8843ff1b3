"""What operations about jobs ask and tell."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .asked import REPO_AT, ByteRate, FilesAsked, Patterns
from .jobs import Job
from .shape import Asked, Told


class WarmAsked(FilesAsked):
    """Fetch these files before anybody asks for them."""

    rate: ByteRate = None
    token_file: str | None = Field(
        None, description="A file on the node with the token to ask the origin with; without it, as nobody."
    )


class VerifyAsked(FilesAsked):
    """Compare these files with the digests of the Hub."""

    rate: ByteRate = None


class ScrubAsked(Asked):
    """Read everything that is kept, and drop what has rotted."""

    rate: ByteRate = None


ServerPath = Annotated[
    str, Field(pattern=r"^/", max_length=4000, description="A path on the node's machine, from / on.")
]


class ExportAsked(Asked):
    """Write repos to a bundle."""

    path: ServerPath
    repos: Annotated[
        tuple[Annotated[str, Field(pattern=REPO_AT, max_length=500)], ...],
        Field(min_length=1, max_length=1000, description="Repos, each as acme/tiny or acme/tiny@revision."),
    ]
    include: Patterns = ()
    exclude: Patterns = ()


class ImportAsked(Asked):
    """Take in a bundle."""

    path: ServerPath
    trust: Annotated[
        tuple[str, ...], Field(max_length=100, description="Public keys whose bundles are taken, besides our own.")
    ] = ()


class SeedAsked(Asked):
    """Take in the cache of another program."""

    path: ServerPath
    kind: Literal["hf-cache", "olah"]


class JobAsked(Asked):
    """One job."""

    id: Annotated[str, Field(max_length=100, description="The job's name.")]


class JobsTold(Told):
    """Jobs, the newest first."""

    jobs: list[Job]
