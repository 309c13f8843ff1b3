"""The LFS plane: one question about many objects, answered with presigned addresses at the CDN (git-lfs
docs/api/batch.md).
"""

import json
from typing import Any

from . import problems
from .messages import Answer, Asked, json_answer
from .repo import LfsFile, Repo
from .site import Site, UrlTerms

_MEDIA_TYPE = "application/vnd.git-lfs+json"


def batch(site: Site, asked: Asked, repo: Repo, terms: UrlTerms) -> Answer:
    """Where the objects of this repo can be had; those of others do not exist here."""
    try:
        question = json.loads(asked.body)
        wanted = [(str(one["oid"]), int(one["size"])) for one in question["objects"]]
    except (ValueError, KeyError, TypeError):
        raise problems.bad_request("this is no LFS batch request") from None
    if question.get("operation") != "download":
        raise problems.Problem(403, "You are not allowed to upload here")
    objects = [_described(site, repo, oid, size, terms) for oid, size in wanted]
    return json_answer({"transfer": "basic", "objects": objects}, headers={"content-type": _MEDIA_TYPE})


def find(repo: Repo, sha256: str) -> tuple[str, LfsFile] | None:
    """The path and the large file of that digest, in any commit of the repo."""
    for commit in repo.commits.values():
        for path, file in commit.files.items():
            if isinstance(file, LfsFile) and file.blob.is_hashed and file.blob.sha256 == sha256:
                return path, file
    return None


def _described(site: Site, repo: Repo, oid: str, size: int, terms: UrlTerms) -> dict[str, Any]:
    found = find(repo, oid)
    if found is None or found[1].size != size:
        return {"oid": oid, "size": size, "error": {"code": 404, "message": "Object does not exist"}}
    path, file = found
    href = site.signer.mint(site.cdn_url, file.blob, path.rpartition("/")[2], terms)
    download = {"href": href, "expires_in": int(terms.seconds)}
    return {"oid": oid, "size": size, "authenticated": True, "actions": {"download": download}}
