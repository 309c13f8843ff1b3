"""A client that asks as ollama does (server/download.go, registry client; HUB-PROTOCOL §5.3), rule by rule.

manifest    GET, docker's media type; a 401 leads to the realm of its Bearer challenge, on the very host asked
each layer  HEAD for its length; GET, of which only the Location counts; the Location in parts, without credentials
at the end  the sha256 of what was put together
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import aiohttp
import orjson
from yarl import URL

MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
PARTS: Final = 16
AGENT: Final = "ollama/0.12.0 (amd64 linux) Go/go1.24.1"
_CHALLENGE: Final = re.compile(r'(\w+)="([^"]*)"')


class Refused(Exception):
    """What ollama would show its user."""

    def __init__(self, words: str, status: int = 0) -> None:
        super().__init__(words)
        self.status = status


@dataclass
class Ollama:
    """One `ollama pull` from the mirror at `url`. `part` is the size of a part: 100 MB in ollama itself."""

    url: str
    part: int
    token: str | None = None
    """Of the Hub; shown at the realm of a challenge, then as what comes back from there."""

    async def pull(self, name: str, tag: str = "latest") -> dict[str, bytes]:
        """The layers by digest. Raises Refused."""
        timeout = aiohttp.ClientTimeout(total=60, sock_read=30)
        async with aiohttp.ClientSession(timeout=timeout, headers={"User-Agent": AGENT}) as session:
            registry = _Registry(session, self)
            manifest = await registry.manifest(f"/v2/{name}/manifests/{tag}")
            layers = [*manifest["layers"], manifest["config"]]
            return {layer["digest"]: await registry.layer(name, layer) for layer in layers}


class _Registry:
    def __init__(self, session: aiohttp.ClientSession, how: Ollama) -> None:
        self._session = session
        self._how = how
        self._bearer: str | None = None

    async def manifest(self, path: str) -> Any:
        status, _, body = await self._authorised("GET", path, {"Accept": MANIFEST})
        if status == 404:
            raise Refused("pull model manifest: file does not exist", 404)
        return orjson.loads(body)

    async def layer(self, name: str, layer: Mapping[str, Any]) -> bytes:
        path = f"/v2/{name}/blobs/{layer['digest']}"
        _, head, _ = await self._authorised("HEAD", path, {})
        total = int(head.get("Content-Length", "0"))
        if total != layer["size"]:
            raise Refused(f"the length of {layer['digest']} is {total}")
        where = await self._location(path)
        queue = asyncio.Semaphore(PARTS)

        async def part(start: int) -> bytes:
            async with queue:
                return await self._part(where, start, min(start + self._how.part, total))

        parts = await asyncio.gather(*(part(start) for start in range(0, total, self._how.part)))
        content = b"".join(parts)
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != layer["digest"]:
            raise Refused("digest mismatch, file must be downloaded again")
        return content

    async def _location(self, path: str) -> str:
        """Go's rule: redirects are followed on the same host name alone; what ends the walk must be a 200 or a 307, and
        have a Location. The body is left."""
        url = self._how.url + path
        for _ in range(10):
            async with self._request("GET", url, self._fields()) as answer:
                location = answer.headers.get("Location")
                redirected = answer.status in (301, 302, 303, 307, 308) and location is not None
                target = urljoin(url, location or "")
                if redirected and urlsplit(target).hostname == urlsplit(url).hostname:
                    url = target
                    continue
                if answer.status not in (200, 307):
                    raise Refused(f"unexpected status code {answer.status}", answer.status)
                if location is None:
                    raise Refused("http: no Location header in response")
                answer.close()
                return target
        raise Refused("maximum redirects exceeded (10) for directURL")

    async def _part(self, url: str, start: int, stop: int) -> bytes:
        async with self._request("GET", url, {"Range": f"bytes={start}-{stop - 1}"}) as answer:
            if answer.status >= 400:
                raise Refused(f"a part: {answer.status}", answer.status)
            content = await answer.read()
        if len(content) != stop - start:
            raise Refused(f"a part of {stop - start} bytes came with {len(content)}")
        return content

    async def _authorised(self, method: str, path: str, fields: dict[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        """Once more with a token when the first try was 401."""
        for attempt in (1, 2):
            async with self._request(method, self._how.url + path, {**fields, **self._fields()}) as answer:
                body = await answer.read()
                if answer.status != 401 or attempt == 2:
                    if answer.status >= 400 and answer.status != 404:
                        raise Refused(f"{answer.status}: {body.decode(errors='replace')}", answer.status)
                    return answer.status, answer.headers, body
                await self._answer_challenge(answer.headers.get("WWW-Authenticate", ""))
        raise AssertionError("two tries are two tries")

    async def _answer_challenge(self, challenge: str) -> None:
        scheme, _, rest = challenge.partition(" ")
        realm = dict(_CHALLENGE.findall(rest)).get("realm", "")
        if scheme != "Bearer" or urlsplit(realm).netloc != urlsplit(self._how.url).netloc:
            raise Refused(f"realm host of {challenge!r} does not match original host", 401)
        pair = b64encode(f"somebody:{self._how.token}".encode()).decode()
        fields = {} if self._how.token is None else {"Authorization": f"Basic {pair}"}
        async with self._request("GET", realm, fields) as answer:
            body = await answer.read()
            if answer.status != 200:
                raise Refused(f"the realm says {answer.status}", answer.status)
            self._bearer = orjson.loads(body)["token"]

    def _fields(self) -> dict[str, str]:
        return {} if self._bearer is None else {"Authorization": f"Bearer {self._bearer}"}

    def _request(self, method: str, url: str, fields: Mapping[str, str]) -> Any:
        return self._session.request(method, URL(url, encoded=True), headers=dict(fields), allow_redirects=False)
