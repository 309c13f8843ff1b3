"""The command `penstock` run to its end, as a person would run it."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass

from .nursery import ENTRY, ROOT, born

DEADLINE = 60.0


@dataclass(frozen=True, slots=True)
class Done:
    """How it ended and what it wrote."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        """All of it, the answer first."""
        return self.stdout + self.stderr


async def penstock(*words: str, environment: Mapping[str, str] | None = None, **variables: str) -> Done:
    """`penstock WORDS` with nothing to read; in our own environment but for settings of a mirror, or in that given.

    Raises TimeoutError when it has not ended within a minute."""
    if environment is None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    given = {"NO_COLOR": "1", "COLUMNS": "200", **environment, **variables}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said:
        child = await born(("-m", ENTRY, *words), folder=ROOT, environment=given, output=out, errors=said)
        try:
            async with asyncio.timeout(DEADLINE):
                code = await child.wait()
        finally:
            child.kill()
        texts = []
        for file in (out, said):
            file.seek(0)
            texts.append(file.read().decode())
    return Done(code, *texts)


def penstock_now(*words: str, **variables: str) -> Done:
    """The same, where no event loop runs."""
    return asyncio.run(penstock(*words, **variables))
