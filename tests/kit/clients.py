"""The real huggingface_hub, in a process of its own, with a cache of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .node import REPO_ROOT

CURRENT = "2.4.0"
"""The version in the environment of the tests themselves."""
VERSIONS = ("0.36.2", "1.30.0", CURRENT)
XET_VERSIONS = ("0.32.6", "0.34.6", "1.4.1", "1.16.1", CURRENT)
"""Each with a hf_xet of another generation: 1.1.2, 1.1.10, 1.3.2, 1.5.1, 1.8.0."""
DRIVER = Path(__file__).parent / "drivers" / "hub.py"
LIBRARIES = "libraries"
"""The environment that has datasets and transformers, on the current huggingface_hub."""
LIBRARY_DRIVER = Path(__file__).parent / "drivers" / "libraries.py"
RUST = "rust"
"""The environment that has the crate hf-hub 1.0 inside a wheel; it knows no huggingface_hub."""
RUST_DRIVER = Path(__file__).parent / "drivers" / "rust.py"
DRIVERS = {LIBRARIES: LIBRARY_DRIVER, RUST: RUST_DRIVER}
"""Of the environments that are not huggingface_hub alone."""
DEADLINE = 90.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one call came to: a value, or the names of the exception's classes (most derived first)."""

    op: str
    ok: Any = None
    error: tuple[str, ...] = ()
    text: str = ""

    @property
    def value(self) -> Any:
        """Raises AssertionError when the call failed."""
        assert not self.error, f"{self.op} raised {self.error[0]}: {self.text}"
        return self.ok

    def raised(self, name: str) -> bool:
        return name in self.error


class Client:
    """One installation of huggingface_hub and its cache in `home`. Calls of one `run` share a process."""

    def __init__(
        self, version: str, endpoint: str, home: Path, token: str | None = None, driver: Path = DRIVER
    ) -> None:
        self.driver = driver
        self.version = version
        self.endpoint = endpoint
        self.home = home
        self._token = token
        self.constants: dict[str, Any] = {}
        """Of huggingface_hub, set to other values before the first call."""
        self.extra: dict[str, str] = {}
        """Of the environment."""

    @property
    def cache(self) -> Path:
        return self.home / "hub"

    @property
    def transcript(self) -> Path:
        """What the process said on standard error."""
        return self.home / "said.txt"

    async def run(
        self, calls: list[dict[str, Any]], *, deadline: float = DEADLINE, **environment: str
    ) -> list[Outcome]:
        """Make the calls, one after another. Raises AssertionError when the process itself fails."""
        job = json.dumps({"calls": calls, "constants": self.constants}).encode()
        process = await asyncio.create_subprocess_exec(
            str(interpreter(self.version)),
            str(self.driver),
            env={**self.environment(), **environment},
            cwd=self.home,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, said = await ended_within(process, deadline, job)
        self.transcript.write_bytes(said)
        assert process.returncode == 0, (
            f"huggingface_hub {self.version} ended with {process.returncode}:\n{said.decode()}"
        )
        return [
            Outcome(**one | {"error": tuple(one.get("error", ()))}) for one in json.loads(out.splitlines()[-1])
        ]  # hf_xet logs there too

    async def command(self, *words: str, deadline: float = DEADLINE) -> tuple[int, str]:
        """Run the `hf` command; exit code and all it wrote."""
        process = await asyncio.create_subprocess_exec(
            str(interpreter(self.version).parent / "hf"),
            *words,
            env=self.environment(),
            cwd=self.home,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await ended_within(process, deadline)
        return process.returncode or 0, out.decode()

    def environment(self) -> dict[str, str]:
        """Proxies unset, Xet left on, and nothing of the one who runs the tests."""
        token = {} if self._token is None else {"HF_TOKEN": self._token}
        return {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "HF_HOME": str(self.home),
            "HF_ENDPOINT": self.endpoint,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            **token,
            **self.extra,
        }


def interpreter(version: str) -> Path:
    """The Python that has this version of huggingface_hub. Raises AssertionError when it is not installed."""
    if version == CURRENT:
        return Path(sys.executable)
    python = REPO_ROOT / ".venv-clients" / version / "bin" / "python"
    assert python.exists(), f"the client {version} is not installed in {python.parents[1]}: run `make test`"
    return python


async def ended_within(
    process: asyncio.subprocess.Process, deadline: float, job: bytes | None = None
) -> tuple[bytes, bytes]:
    try:
        out, said = await asyncio.wait_for(process.communicate(job), deadline)
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise AssertionError(f"the client did not end within {deadline:g} s") from error
    return out, said or b""
