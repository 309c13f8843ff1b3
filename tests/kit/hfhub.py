"""A client that asks as the Rust crate hf-hub 0.4 and 0.5 do (src/api/sync.rs, src/api/tokio.rs; HUB-PROTOCOL §5.7).

metadata   GET with `Range: bytes=0-0`, never HEAD; relative redirects; x-repo-commit, (x-linked-)etag, Content-Range
sync       (ureq) GET with `Range: bytes=N-`, from the first try on, where N bytes are there already; appended to them
tokio      (reqwest) ranges of 10 MB, several at a time, the last of which may end one byte past the end of the file;
           how much of them is there without a gap is noted behind the part, and gone on from

Both ask by the revision's name each time, and follow what redirects them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlsplit

import aiohttp
import orjson
from yarl import URL

AGENT: Final = "unkown/None; hf-hub/0.5.0; rust/unknown"
CHUNK: Final = 10_000_000
_HOPS: Final = 10
_PATH_SAFE: Final = "/%[]!$&'()*+,;=:@~|\\^"
"""What the url crate leaves as it is in a path."""


class Failed(Exception):
    """What the crate would return as an error; `status` is the last one seen."""

    def __init__(self, words: str, status: int = 0) -> None:
        super().__init__(words)
        self.status = status


@dataclass(frozen=True, slots=True)
class Metadata:
    commit: str
    etag: str
    size: int


@dataclass
class HfHub:
    """One `ApiBuilder::from_env()` with HF_ENDPOINT set to `url`; `chunk` in bytes."""

    url: str
    token: str | None = None
    chunk: int = CHUNK
    max_files: int = 1
    revision: str = "main"
    part: bytearray = field(default_factory=bytearray)
    """What an earlier run left of the file."""

    async def info(self, repo: str) -> Any:
        """The repo at the revision. Raises Failed."""
        async with self._session() as session:
            target = f"/api/{repo if repo.startswith('datasets/') else f'models/{repo}'}/revision/{self._revision}"
            status, _, body = await self._get(session, target, "")
            if status != 200:
                raise Failed("info", status)
            return orjson.loads(body)

    async def metadata(self, repo: str, path: str) -> Metadata:
        """What the crate wants to know before a download. Raises Failed."""
        async with self._session() as session:
            return await self._metadata(session, self._target(repo, path))

    async def by_ureq(self, repo: str, path: str, *, leave_after: int | None = None) -> bytes:
        """The file, synchronously; be killed after so many bytes of it. Raises Failed."""
        async with self._session() as session:
            target = self._target(repo, path)
            wanted = await self._metadata(session, target)
            if len(self.part) > wanted.size:
                raise Failed("invalid resume")
            ranged = f"bytes={len(self.part)}-"
            status, _, body = await self._get(session, target, ranged, leave_after)
            if status >= 400:
                raise Failed("download", status)
            self.part += body
            return bytes(self.part)

    async def by_reqwest(self, repo: str, path: str, *, chunks: int | None = None) -> bytes:
        """The file, in ranges at a time; be killed after so many of them. Raises Failed."""
        async with self._session() as session:
            target = self._target(repo, path)
            wanted = await self._metadata(session, target)
            starts = list(range(len(self.part), wanted.size, self.chunk))[:chunks]
            places = asyncio.Semaphore(self.max_files)

            async def fetched(start: int) -> bytes:
                stop = min(start + self.chunk - 1, wanted.size)
                async with places:
                    status, _, body = await self._get(session, target, f"bytes={start}-{stop}")
                if status >= 400:
                    raise Failed("chunk", status)
                return body

            for body in await asyncio.gather(*(fetched(start) for start in starts)):
                self.part += body
            return bytes(self.part)

    @property
    def _revision(self) -> str:
        return self.revision.replace("/", "%2F")

    def _target(self, repo: str, path: str) -> str:
        """The path is put into the address as it is; the url crate encodes what must be."""
        return f"/{repo}/resolve/{self._revision}/{quote(path, safe=_PATH_SAFE)}"

    async def _metadata(self, session: aiohttp.ClientSession, target: str) -> Metadata:
        status, fields, _ = await self._get(session, target, "bytes=0-0")
        if status >= 300:
            raise Failed("metadata", status)
        try:
            etag = fields.get("X-Linked-Etag") or fields["ETag"]
            size = fields["Content-Range"].rpartition("/")[2]
            return Metadata(fields["X-Repo-Commit"], etag.replace('"', ""), int(size))
        except KeyError as missing:
            raise Failed(f"Header {missing} is missing", status) from missing

    async def _get(
        self, session: aiohttp.ClientSession, target: str, ranged: str, leave_after: int | None = None
    ) -> tuple[int, Any, bytes]:
        """Follows relative redirects, with the token; raises Failed for any other."""
        fields = {"Range": ranged} if ranged else {}
        for _ in range(_HOPS):
            async with session.get(
                URL(self.url + target, encoded=True), headers=fields, allow_redirects=False
            ) as answer:
                if not 300 <= answer.status < 400:
                    return answer.status, answer.headers, await _body(answer, leave_after)
                target = answer.headers["Location"]
                if urlsplit(target).netloc:
                    raise Failed(f"led away to {target}", answer.status)
        raise Failed("too many redirects")

    def _session(self) -> aiohttp.ClientSession:
        fields = {"User-Agent": AGENT, "Accept": "*/*"}
        if self.token is not None:
            fields["Authorization"] = f"Bearer {self.token}"
        return aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=60),
            headers=fields,
            auto_decompress=False,
            skip_auto_headers=["Accept-Encoding"],
        )


async def _body(answer: aiohttp.ClientResponse, most: int | None) -> bytes:
    if most is None:
        return await answer.read()
    taken = bytearray()
    async for piece in answer.content.iter_chunked(64 * 1024):
        taken += piece
        if len(taken) >= most:
            answer.close()
            break
    return bytes(taken)
