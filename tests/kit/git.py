"""The real git and git-lfs, in folders of their own, knowing nothing of the one who runs the tests."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

DEADLINE = 90.0
INSTALL = "apt-get install -y git git-lfs"


@dataclass(frozen=True, slots=True)
class Said:
    """What a command came to: its exit code and all it wrote."""

    code: int
    text: str


class Git:
    """One user of git: a home folder, git-lfs installed, and perhaps a token in the credential store."""

    def __init__(self, home: Path) -> None:
        for tool in ("git", "git-lfs"):
            assert shutil.which(tool), f"{tool} is not installed: {INSTALL}"
        self.home = home

    async def run(self, *words: str, within: float = DEADLINE, **environment: str) -> Said:
        """`git` with these words, in the home folder."""
        process = await asyncio.create_subprocess_exec(
            "git",
            *words,
            env={**self._environment(), **environment},
            cwd=self.home,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            out, _ = await asyncio.wait_for(process.communicate(), within)
        except TimeoutError as error:
            process.kill()
            await process.wait()
            raise AssertionError(f"git {' '.join(words)} did not end within {within:g} s") from error
        return Said(process.returncode or 0, out.decode(errors="replace"))

    async def good(self, *words: str, **environment: str) -> str:
        """As `run`; what it wrote. Raises AssertionError when it failed."""
        said = await self.run(*words, **environment)
        assert said.code == 0, f"git {' '.join(words)} ended with {said.code}:\n{said.text}"
        return said.text

    def remember(self, url: str, token: str) -> None:
        """Keep the token as the password for the host of `url`, where git asks for it after a 401."""
        scheme, _, host = url.partition("://")
        (self.home / "credentials").write_text(f"{scheme}://somebody:{token}@{host}\n")

    def _environment(self) -> dict[str, str]:
        config = {
            "credential.helper": f"store --file={self.home / 'credentials'}",
            "filter.lfs.process": "git-lfs filter-process",
            "filter.lfs.smudge": "git-lfs smudge -- %f",
            "filter.lfs.clean": "git-lfs clean -- %f",
            "filter.lfs.required": "true",
            "user.name": "somebody",
            "user.email": "somebody@example.org",
        }
        numbered = {f"GIT_CONFIG_KEY_{number}": key for number, key in enumerate(config)}
        values = {f"GIT_CONFIG_VALUE_{number}": value for number, value in enumerate(config.values())}
        return {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": str(len(config)),
            **numbered,
            **values,
        }
