"""One plain request, exactly as written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

DEADLINE = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, whole."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def transcript(self) -> str:
        """Status, head and body, as text."""
        lines = [f"{name}: {text}" for name, text in self.headers.items()]
        return "\n".join([str(self.status), *lines, "", self.body.decode(errors="replace")])


async def ask(base_url: str, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
    """Send it, the target as it is; redirects are not followed and nothing is decoded."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE), auto_decompress=False) as session,
        session.request(
            method,
            URL(base_url + target, encoded=True),
            headers={"Accept-Encoding": "identity", **headers},
            data=body,
            allow_redirects=False,
        ) as answer,
    ):
        return Answer(answer.status, answer.headers, await answer.read())
