"""A client that asks as llama.cpp does (common/download.cpp; HUB-PROTOCOL §5.2), rule by rule.

current   refs -> the commit of main -> the first page of its tree -> per file HEAD, then GET at the commit
older     a manifest by tag, as `llama-cpp` -> the file it names -> HEAD, then GET at main
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import orjson
from yarl import URL

AGENT: Final = "llama-cpp"
_TOKEN: Final = re.compile(r"hf_[A-Za-z0-9]{34,}")
_ENCODED: Final = {" ": "%20", "+": "%2B", "'": "%27", ",": "%2C", ";": "%3B"}


class Failed(Exception):
    """The download did not succeed; `status` is the last one seen."""

    def __init__(self, words: str, status: int) -> None:
        super().__init__(words)
        self.status = status


@dataclass
class Llama:
    """One `llama-cli -hf repo:quant` with `MODEL_ENDPOINT` set to the mirror."""

    url: str
    token: str | None = None
    leave_after: int | None = None
    """Be killed after so many bytes of a file, and go on from there in a second run."""

    async def by_tree(self, repo: str, quant: str) -> dict[str, bytes]:
        """All files of that quantisation, by path. Raises Failed."""
        async with self._session() as session:
            refs = await self._json(session, f"/api/models/{repo}/refs", api=True)
            commit = next(one["targetCommit"] for one in refs["branches"] if one["name"] == "main")
            tree = await self._json(session, f"/api/models/{repo}/tree/{commit}?recursive=true", api=True)
            paths = [
                one["path"] for one in tree if one["path"].endswith(".gguf") and quant.lower() in one["path"].lower()
            ]
            return {path: await self._download(session, f"/{repo}/resolve/{commit}/{_spelt(path)}") for path in paths}

    async def by_manifest(self, repo: str, tag: str = "latest") -> dict[str, bytes]:
        """The model of that tag. Raises Failed."""
        async with self._session() as session:
            manifest = await self._json(session, f"/v2/{repo}/manifests/{tag}", api=False)
            if "ggufFile" not in manifest:
                raise Failed("error: model does not have ggufFile", 200)
            path = manifest["ggufFile"]["rfilename"]
            return {path: await self._download(session, f"/{repo}/resolve/main/{_spelt(path)}")}

    async def _json(self, session: aiohttp.ClientSession, target: str, *, api: bool) -> Any:
        shown = self.token if self.token and (not api or _TOKEN.fullmatch(self.token)) else None
        fields = {"Accept": "application/json"} | ({} if shown is None else {"Authorization": f"Bearer {shown}"})
        async with self._request(session, "GET", target, fields, follow=True) as answer:
            if answer.status != 200:
                raise Failed(f"error from HF API, response code: {answer.status}", answer.status)
            return orjson.loads(await answer.read())

    async def _download(self, session: aiohttp.ClientSession, target: str) -> bytes:
        """HEAD must end in a 2xx with an ETag, a length and ranges; a part that is there already is gone on from."""
        bearer = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        async with self._request(session, "HEAD", target, bearer, follow=True) as head:
            if not 200 <= head.status < 300:
                raise Failed(f"HEAD failed, status: {head.status}", head.status)
            total = int(head.headers["Content-Length"])
            resumable = head.headers.get("Accept-Ranges") == "bytes"
            if "ETag" not in head.headers or not resumable:
                raise Failed("the file can not be resumed", head.status)
        there = await self._get(session, target, bearer, 0, self.leave_after)
        if len(there) < total:
            there += await self._get(session, target, bearer, len(there), None)
        if len(there) != total:
            raise Failed(f"{len(there)} of {total} bytes", 0)
        return there

    async def _get(
        self, session: aiohttp.ClientSession, target: str, bearer: Mapping[str, str], start: int, most: int | None
    ) -> bytes:
        ranged = {"Range": f"bytes={start}-"} if start else {}
        async with self._request(session, "GET", target, {**bearer, **ranged}, follow=True) as answer:
            if answer.status != (206 if start else 200):
                raise Failed(f"GET failed, status: {answer.status}", answer.status)
            taken = bytearray()
            async for piece in answer.content.iter_chunked(64 * 1024):
                taken += piece
                if most is not None and len(taken) >= most:
                    answer.close()
                    break
            return bytes(taken)

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=60, sock_read=30), headers={"User-Agent": AGENT}, auto_decompress=False
        )

    def _request(
        self, session: aiohttp.ClientSession, method: str, target: str, fields: Mapping[str, str], *, follow: bool
    ) -> Any:
        url = URL(self.url + target, encoded=True)
        return session.request(method, url, headers=dict(fields), allow_redirects=follow)


def _spelt(path: str) -> str:
    """As cpp-httplib's `encode_url` does: a few characters and what is no ASCII, nothing else."""
    plain = "".join(_ENCODED.get(letter, letter) for letter in path)
    return "".join(
        letter if letter.isascii() else "".join(f"%{byte:02X}" for byte in letter.encode()) for letter in plain
    )
