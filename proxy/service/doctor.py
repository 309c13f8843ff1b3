"""A walk through a repo as the clients make it, looking for whatever leads them away (`penstock doctor`).

Each step is one request that some client makes (HUB-PROTOCOL §1, §5) to a running mirror. Redirects are followed by
hand and only within the mirror; every answer on the way is looked at. Nothing is downloaded but single bytes.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

import aiohttp
import orjson
from yarl import URL

from proxy.core.errors import OriginUnreachable
from proxy.core.secret import Secret
from proxy.core.sizes import MIB
from proxy.hub.leaks import Leak, LeakKind, leaks_of_body, leaks_of_fields
from proxy.hub.links import parse_links
from proxy.hub.names import RepoId, RepoKind

LARGEST_BODY: Final = 32 * MIB
MOST_PAGES: Final = 20
MOST_HOPS: Final = 5
PATIENCE: Final = 30.0
_PREFIXES: Final = {kind.prefix: kind for kind in RepoKind if kind.prefix}
_XET_INFO: Final = "application/vnd.xet-fileinfo+json, */*"
_LFS: Final = "application/vnd.git-lfs+json"


class NothingThere(Exception):
    """The mirror does not show the repo to this caller."""


@dataclass(frozen=True, slots=True)
class Step:
    """One request and what was wrong with its answer. `path` is without its query."""

    name: str
    method: str
    path: str
    status: int
    leaks: tuple[Leak, ...]


@dataclass(slots=True)
class Checkup:
    """What a walk came to."""

    endpoint: str
    repo: str
    steps: list[Step] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    """Steps that did not work, in words; not a leak, but a client would fail there too."""

    @property
    def leaks(self) -> list[tuple[Step, Leak]]:
        return [(step, leak) for step in self.steps for leak in step.leaks]

    @property
    def is_well(self) -> bool:
        return not self.leaks and not self.troubles


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes

    def first(self, name: str) -> str | None:
        return next((text for key, text in self.fields if key.lower() == name), None)

    @property
    def json(self) -> Any:
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None


def repo_named(text: str) -> RepoId:
    """`acme/tiny`, or `datasets/acme/rows`."""
    first, slash, rest = text.partition("/")
    kind = _PREFIXES.get(first + slash)
    return RepoId(RepoKind.MODEL, text) if kind is None else RepoId(kind, rest)


async def examine(endpoint: str, repo: str | None, token: Secret | None) -> Checkup:
    """Walk `repo` (the first model the mirror lists, when None). Raises OriginUnreachable, NothingThere."""
    async with _Walk.open(Checkup(endpoint.rstrip("/"), repo or ""), token) as walk:
        walk.found.repo = walk.found.repo or await walk.any_model()
        await walk.walk(repo_named(walk.found.repo))
        return walk.found


class _Walk:
    """The session and what it has found so far."""

    def __init__(self, found: Checkup, token: Secret | None, session: aiohttp.ClientSession) -> None:
        parts = urlsplit(found.endpoint)
        self.found = found
        self._home = f"{parts.scheme}://{parts.netloc}"
        self._fields = {} if token is None else {"Authorization": f"Bearer {token.reveal()}"}
        self._session = session

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, found: Checkup, token: Secret | None) -> AsyncIterator[Self]:
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=jar, auto_decompress=True) as session:
            yield cls(found, token, session)

    async def any_model(self) -> str:
        """The first model listed whose files are for everybody."""
        listed = (await self._ask("list of models", "GET", "/api/models?limit=20&gated=false")).json
        for model in listed if isinstance(listed, list) else ():
            if isinstance(model, dict) and isinstance(model.get("id"), str) and not model.get("gated"):
                return str(model["id"])
        raise NothingThere("the mirror lists no model that is for everybody; name a repo with --repo")

    async def walk(self, repo: RepoId) -> None:
        """Every step; a step that fails ends none of the others that can do without it."""
        api, base = f"/api/{repo.kind.value}/{repo.name}", f"/{repo}"
        info = await self._ask("info", "GET", api)
        if info.status in (401, 403, 404):
            raise NothingThere(f"{repo}: {info.first('x-error-message') or info.status}")
        revision = await self._must("revision", "GET", f"{api}/revision/main")
        commit = revision.json.get("sha") if revision and isinstance(revision.json, dict) else None
        if not isinstance(commit, str):
            self.found.troubles.append(f"{api}/revision/main names no commit")
            return
        files = await self._tree(f"{api}/tree/{commit}?recursive=true&expand=false")
        await self._tree(f"{api}/tree/main?recursive=1&expand=true", most=2)
        named = await self._refs(api)
        await self._ask("commits", "GET", f"{api}/commits/main")
        await self._ask("paths-info", "POST", f"{api}/paths-info/{commit}", {"paths": [one["path"] for one in files]})
        for one in _worth_a_look(files):
            path = quote(one["path"])
            for name in ("main", commit, commit[:7], *named):
                await self._must(f"HEAD at {name}", "HEAD", f"{base}/resolve/{quote(name, safe='')}/{path}")
            await self._must("one byte", "GET", f"{base}/resolve/main/{path}", ranged="bytes=0-0")
            await self._must("the last byte", "GET", f"{base}/resolve/{commit}/{path}", ranged="bytes=-1")
            await self._ask("raw", "HEAD", f"{base}/raw/main/{path}")
            if "lfs" in one:
                wanted = [{"oid": one["lfs"].get("oid", ""), "size": one["size"]}]
                batch = {"operation": "download", "transfers": ["basic", "xet"], "objects": wanted}
                await self._ask("LFS batch", "POST", f"{base}.git/info/lfs/objects/batch", batch)
        await self._ask("missing file", "HEAD", f"{base}/resolve/main/penstock-doctor-missing")
        await self._xet(f"{api}/xet-read-token/{commit}", advertised=any("xetHash" in one for one in files))

    async def _tree(self, target: str, most: int = MOST_PAGES) -> list[dict[str, Any]]:
        """The files of a listing, its pages followed as clients do, but never away."""
        files: list[dict[str, Any]] = []
        for page in range(most):
            answer = await self._must(f"tree, page {page + 1}", "GET", target)
            if answer is None:
                break
            items = answer.json if isinstance(answer.json, list) else []
            files += [item for item in items if _is_file(item)]
            links = parse_links(answer.first("link") or "")
            following = next((link.address for link in links if "next" in link.rels), None)
            if following is None or not following.startswith(self._home + "/"):
                break
            target = following.removeprefix(self._home)
        return files

    async def _refs(self, api: str) -> list[str]:
        """A tag and a pull request, where there are any."""
        listed = (await self._ask("refs", "GET", f"{api}/refs?include_prs=1")).json
        if not isinstance(listed, dict):
            return []
        return [*_names(listed.get("tags"), "name")[:1], *_names(listed.get("pullRequests"), "ref")[:1]]

    async def _xet(self, target: str, *, advertised: bool) -> None:
        answer = await self._ask("Xet token", "GET", target)
        if advertised and answer.status >= 400:
            self.found.troubles.append(
                f"the tree announces Xet (xetHash), but its token is refused with {answer.status}: clients with hf_xet "
                "do not fall back to HTTP"
            )

    async def _must(self, name: str, method: str, target: str, *, ranged: str | None = None) -> _Answer | None:
        """As `_ask`; a refusal is noted as trouble."""
        answer = await self._ask(name, method, target, ranged=ranged)
        if answer.status < 400:
            return answer
        words = answer.first("x-error-message") or ""
        self.found.troubles.append(f"{name}: {method} {urlsplit(target).path} is refused with {answer.status} {words}")
        return None

    async def _ask(
        self, name: str, method: str, target: str, body: object = None, *, ranged: str | None = None
    ) -> _Answer:
        """One request, its redirects followed within the mirror; each answer on the way is a step."""
        for _ in range(MOST_HOPS):
            answer = await self._once(method, target, body, ranged)
            path = urlsplit(target).path
            self.found.steps.append(Step(name, method, path, answer.status, tuple(self._leaks(answer))))
            where = answer.first("location")
            if answer.status not in (301, 302, 303, 307, 308) or where is None:
                return answer
            try:
                following = URL(self._home + target, encoded=True).join(URL(where, encoded=True))
                stays = str(following.origin()) == self._home
            except ValueError:  # no address, or none that could be followed
                stays = False
            if not stays:
                return answer
            target = following.raw_path_qs
        self.found.troubles.append(f"{name}: more than {MOST_HOPS} redirects")
        return answer

    async def _once(self, method: str, target: str, body: object, ranged: str | None) -> _Answer:
        fields = {**self._fields, "Accept": _XET_INFO if ranged else "*/*"}
        if ranged:
            fields["Range"] = ranged
        if body is not None:
            fields["Content-Type"] = _LFS if target.endswith("/objects/batch") else "application/json"
        try:
            async with self._session.request(
                method,
                URL(self._home + target, encoded=True),
                headers=fields,
                data=None if body is None else orjson.dumps(body),
                allow_redirects=False,
            ) as response:
                content = await response.content.read(LARGEST_BODY) if method != "HEAD" else b""
                while len(content) < LARGEST_BODY and (more := await response.content.read(LARGEST_BODY)):
                    content += more
                return _Answer(response.status, tuple(response.headers.items()), content)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise OriginUnreachable(f"{self.found.endpoint} gives no answer: {error or type(error).__name__}") from None

    def _leaks(self, answer: _Answer) -> Iterator[Leak]:
        yield from leaks_of_fields(answer.fields, self._home, xet=True)
        yield from leaks_of_body(answer.first("content-type") or "", answer.body, self._home, xet=True)


def _is_file(item: object) -> bool:
    """Whether an entry of a listing is a file as the Hub writes one: the mirror may be of another make."""
    return (
        isinstance(item, dict)
        and item.get("type") == "file"
        and isinstance(item.get("path"), str)
        and isinstance(item.get("size"), int)
        and isinstance(item.get("lfs", {}), dict)
    )


def _names(listed: object, key: str) -> list[str]:
    """What the entries of a list have under `key`."""
    entries = listed if isinstance(listed, list) else []
    return [one[key] for one in entries if isinstance(one, dict) and isinstance(one.get(key), str)]


def _worth_a_look(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The largest file kept outside git, and the smallest inside: the two go different ways upstream."""
    linked = sorted((one for one in files if "lfs" in one), key=lambda one: int(one.get("size", 0)))
    plain = sorted((one for one in files if "lfs" not in one and one.get("size")), key=lambda one: int(one["size"]))
    return [*linked[-1:], *plain[:1]]


ADVICE: Final = {
    LeakKind.REDIRECT: "clients follow it: the bytes bypass the mirror, and some versions of huggingface_hub send "
    "their token along. Answer the bytes from the mirror itself, or redirect to a relative address",
    LeakKind.ADDRESS: "clients ask there next, with their token. It has to be the mirror's own absolute address: set "
    "server.external_url if the mirror does not know the name it is reached by",
    LeakKind.XET: "clients with hf_xet leave plain HTTP and go there for the bytes, without falling back. It has to be "
    "taken out, or to lead to the mirror",
}
"""What a leak does, and what to do about it."""
