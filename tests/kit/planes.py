"""The ways a repo can be looked at, as a table: one row for each plane a right is judged on.

A row is a request that needs no more than to be allowed; whoever adds a plane to the mirror adds a row here, and the
rights matrix covers it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from bench.hub.repo import LfsFile, Repo
from proxy.hub.lfs_batch import LfsPointer

from .asking import Answer, ask

LARGE: Final = "model.safetensors"
SMALL: Final = "config.json"
CARD: Final = "README.md"
_HOPS: Final = 5


@dataclass(frozen=True, slots=True)
class Looking:
    """One request. `body` is JSON."""

    method: str
    target: str
    body: object = None
    accept: str = "*/*"

    async def ask(self, base_url: str, token: str | None) -> Answer:
        headers = {"Accept": self.accept}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if self.body is None:
            return await ask(base_url, self.method, self.target, headers)
        content = json.dumps(self.body).encode()
        return await ask(base_url, self.method, self.target, {**headers, "Content-Type": "application/json"}, content)

    async def ask_on(self, base_url: str, token: str | None) -> Answer:
        """As `ask`, and on where a redirect leads at the same host."""
        looking, answer = self, await self.ask(base_url, token)
        for _ in range(_HOPS):
            place = answer.headers.get("Location", "").removeprefix(base_url)
            if answer.status not in (301, 302, 307, 308) or not place.startswith("/"):
                break
            looking = replace(looking, target=place)
            answer = await looking.ask(base_url, token)
        return answer


def _file(verb: str, path: str, *, pinned: bool, method: str = "GET") -> Callable[[Repo], Looking]:
    def row(repo: Repo) -> Looking:
        revision = repo.head() if pinned else "main"
        return Looking(method, f"/{repo.kind.prefix}{repo.id}/{verb}/{revision}/{path}")

    return row


def _api(rest: str) -> Callable[[Repo], Looking]:
    return lambda repo: Looking("GET", f"/api/{repo.kind}/{repo.id}{rest.replace('{sha}', repo.head())}")


def _large(repo: Repo) -> LfsPointer:
    file = repo.file(LARGE)
    assert isinstance(file, LfsFile)
    return LfsPointer(file.blob.sha256, file.size)


def _batch(repo: Repo) -> object:
    large = _large(repo)
    return {"operation": "download", "objects": [{"oid": large.oid, "size": large.size}]}


PLANES: Final[dict[str, Callable[[Repo], Looking]]] = {
    # first: the Hub shows it of a gated repo to all, and what it says of the rest must not be believed
    "card": _file("resolve", CARD, pinned=False),
    "card raw": _file("raw", CARD, pinned=True),
    "resolve main": _file("resolve", SMALL, pinned=False),
    "resolve commit": _file("resolve", SMALL, pinned=True),
    "resolve commit, large": _file("resolve", LARGE, pinned=True),
    "resolve commit, HEAD": _file("resolve", LARGE, pinned=True, method="HEAD"),
    "resolve commit, missing": _file("resolve", "nowhere.json", pinned=True, method="HEAD"),
    "raw": _file("raw", LARGE, pinned=True),
    "info": _api(""),
    "revision": _api("/revision/main"),
    "revision commit": _api("/revision/{sha}"),
    "revision missing": _api("/revision/nowhere"),
    "tree main": _api("/tree/main?recursive=true"),
    "tree commit": _api("/tree/{sha}"),
    "paths-info": lambda repo: Looking(
        "POST", f"/api/{repo.kind}/{repo.id}/paths-info/{repo.head()}", {"paths": [LARGE], "expand": False}
    ),
    "refs": _api("/refs"),
    "commits": _api("/commits/main"),
    "auth-check": _api("/auth-check"),
    "xet token": _api("/xet-read-token/{sha}"),
    "git": lambda repo: Looking("GET", f"/{repo.kind.prefix}{repo.id}/info/refs?service=git-upload-pack"),
    "lfs": lambda repo: Looking("POST", f"/{repo.kind.prefix}{repo.id}.git/info/lfs/objects/batch", _batch(repo)),
    "v2 manifest": lambda repo: Looking("GET", f"/v2/{repo.id}/manifests/latest"),
    "v2 blob": lambda repo: Looking("GET", f"/v2/{repo.id}/blobs/sha256:{_large(repo).oid}"),
}

Verdict = str


def verdict(answer: Answer) -> Verdict:
    """What an answer says about the right: "allowed", or the refusal's status and code."""
    if answer.status < 400:
        return "allowed"
    return f"{answer.status} {answer.headers.get('X-Error-Code', '')}".strip()


__all__ = ["CARD", "LARGE", "PLANES", "SMALL", "Looking", "Verdict", "verdict"]
