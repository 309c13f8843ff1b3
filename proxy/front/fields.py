"""Header fields of the Hub that clients look for (HUB-PROTOCOL §2.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from proxy.hub import paths
from proxy.hub.facts import FileFacts
from proxy.hub.headers import strip_accept
from proxy.hub.names import FileTarget
from proxy.hub.targets import RawFile, ResolveFile

from .answers import Headers

AT_COMMIT: Final = "private, max-age=31536000, immutable, no-transform"
"""A file at a commit never changes, and is the asker's alone to keep: a shared cache in between would not ask for
rights. No transformation: a gzipped body would lose its Content-Length."""

AT_REVISION: Final = "private, no-cache, no-transform"
"""The redirect from a branch or tag: to be asked again."""

_TEXT: Final = "text/plain; charset=utf-8"
_TYPES: Final = {
    "json": "application/json",
    # Shown as text, so that nobody's file runs as a page of this host:
    **dict.fromkeys(("txt", "md", "csv", "tsv", "yaml", "yml", "toml", "jsonl", "html", "svg", "xml", "py"), _TEXT),
}


def file_fields(target: FileTarget, facts: FileFacts) -> Headers:
    """Of a file at a commit, for 200, 206 and 304, GET and HEAD; without Content-Length and Content-Range."""
    name = target.path.rpartition("/")[2]
    return (
        *_identity(target.revision.text, facts),
        ("Accept-Ranges", "bytes"),
        ("Cache-Control", AT_COMMIT),
        ("Content-Type", _TYPES.get(name.rpartition(".")[2].lower(), "application/octet-stream")),
        ("Content-Disposition", _disposition(name)),
        ("X-Content-Type-Options", "nosniff"),
    )


def redirect_fields(target: ResolveFile | RawFile, commit: str, facts: FileFacts) -> Headers:
    """Of the 307 from a mutable revision to `commit`; they tell all about the file too."""
    return (
        ("Location", paths.render(type(target)(target.file.at(commit)))),
        *_identity(commit, facts),
        ("Accept-Ranges", "bytes"),
        ("Cache-Control", AT_REVISION),
    )


def passed_on(headers: Mapping[str, str]) -> Headers:
    """Of a client's API request: the fields that may reach the origin. The token is added by the origin's client."""
    names = ("Content-Type", "Accept-Language")
    kept = tuple((name, headers[name]) for name in names if name in headers)
    return (("Accept", strip_accept(headers.get("Accept", "*/*"))), *kept)


def _disposition(name: str) -> str:
    """What a browser may call the file, in both spellings of RFC 6266."""
    plain = re.sub(r'[^\x20-\x7e]|["\\%]', "_", name)
    return f"inline; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _identity(commit: str, facts: FileFacts) -> Headers:
    linked = (("X-Linked-Etag", f'"{facts.etag}"'), ("X-Linked-Size", str(facts.size))) if facts.linked else ()
    return (("ETag", f'"{facts.etag}"'), *linked, ("X-Repo-Commit", commit))
