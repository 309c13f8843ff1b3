"""What operations about jobs ask and tell."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .asked import ByteRate, FilesAsked
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


class JobAsked(Asked):
    """One job."""

    id: Annotated[str, Field(max_length=100, description="The job's name.")]


class JobsTold(Told):
    """Jobs, the newest first."""

    jobs: list[Job]
