"""Where objects are by their digest: `/__lfs/…` is the mirror's own, `/v2/…` the registry's.

/__lfs/{oid}?t={ticket}
/v2/ and /v2/token
/v2/{namespace}/{name}/manifests/{tag}
/v2/{namespace}/{name}/blobs/sha256:{hex}[?t={ticket}]
"""

from __future__ import annotations

import re
from typing import Final, assert_never
from urllib.parse import quote

from proxy.core.secret import Secret

from .names import RepoId, RepoKind
from .oci import read_digest
from .rawtarget import RawTarget
from .targets import LfsBatch, LfsObject, LfsTarget, OciBlob, OciManifest, OciPing, OciTarget, OciToken

LFS: Final = "__lfs"
REGISTRY: Final = "v2"
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_NAME: Final = re.compile(r"[\w.\-]{1,96}", re.ASCII)
_TAG: Final = re.compile(r"[\w.\-:]{1,128}", re.ASCII)


def parse(raw: RawTarget) -> LfsObject | OciTarget | None:
    """What the target means; None when nothing."""
    match raw.segments:
        case ("__lfs", oid) if _HEX.fullmatch(oid):
            return LfsObject(oid, _ticket(raw.query) or Secret(""))
        case ("v2",) if not raw.query:
            return OciPing()
        case ("v2", "token"):
            return OciToken()
        case ("v2", namespace, name, word, rest) if _NAME.fullmatch(namespace) and _NAME.fullmatch(name):
            return _of_repo(RepoId(RepoKind.MODEL, f"{namespace}/{name}"), word, rest, raw.query)
        case _:
            return None


def render(target: LfsTarget | OciTarget) -> str:
    """The raw path and query; `parse` reads it back (but for a batch, which git's grammar has)."""
    match target:
        case LfsBatch(repo):
            return f"/{repo}.git/info/lfs/objects/batch"
        case LfsObject(oid, ticket):
            return f"/{LFS}/{oid}?t={ticket.reveal()}"
        case OciPing():
            return f"/{REGISTRY}/"
        case OciToken():
            return f"/{REGISTRY}/token"
        case OciManifest(repo, tag):
            return f"/{REGISTRY}/{repo.name}/manifests/{quote(tag, safe='')}"
        case OciBlob(repo, sha256, ticket):
            signed = "" if ticket is None else f"?t={ticket.reveal()}"
            return f"/{REGISTRY}/{repo.name}/blobs/sha256:{sha256}{signed}"
        case _:
            assert_never(target)


def _of_repo(repo: RepoId, word: str, rest: str, query: str) -> OciManifest | OciBlob | None:
    match word:
        case "manifests" if _TAG.fullmatch(rest) and not query:
            return OciManifest(repo, rest)
        case "blobs" if (digest := read_digest(rest)) is not None:
            return OciBlob(repo, digest, _ticket(query))
        case _:
            return None


def _ticket(query: str) -> Secret | None:
    """Clients add nothing to the query they were given; anything else opens nothing."""
    if not query:
        return None
    name, _, text = query.partition("=")
    return Secret(text if name == "t" else "")
