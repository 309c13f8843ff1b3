"""A request as asked and an answer as decided, both values; `delivery` turns the second into bytes on a socket."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self
from urllib.parse import parse_qsl

from .content import Blob

Headers = Mapping[str, str]


class Plane(StrEnum):
    """The three addresses a client of the Hub talks to."""

    HUB = "hub"
    CDN = "cdn"
    CAS = "cas"


class Kind(StrEnum):
    """What a request is about; counters and faults are keyed by it."""

    RESOLVE = "resolve"
    RESOLVE_CACHE = "resolve-cache"
    RAW = "raw"
    CDN = "cdn"
    CAS = "cas"
    XORB = "xorb"
    INFO = "info"
    REVISION = "revision"
    TREE = "tree"
    PATHS_INFO = "paths-info"
    REFS = "refs"
    COMMITS = "commits"
    PARQUET = "parquet"
    AUTH_CHECK = "auth-check"
    XET_TOKEN = "xet-read-token"
    WHOAMI = "whoami"
    LIST = "list"
    TELEMETRY = "telemetry"
    GIT_REFS = "git-refs"
    GIT_PACK = "git-pack"
    LFS_BATCH = "lfs-batch"
    OCI_MANIFEST = "oci-manifest"
    OCI_BLOB = "oci-blob"
    OTHER = "other"


FILE_KINDS = frozenset({Kind.RESOLVE, Kind.RESOLVE_CACHE, Kind.RAW, Kind.CDN, Kind.CAS, Kind.XORB})
API_KINDS = frozenset(Kind) - FILE_KINDS


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `raw_path` is the undecoded target with its query; header names are lower-case."""

    method: str
    raw_path: str
    headers: Headers = field(default_factory=dict)
    body: bytes = b""

    @property
    def path(self) -> str:
        return self.raw_path.partition("?")[0]

    @property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(self.raw_path.partition("?")[2], keep_blank_values=True)

    def parameter(self, name: str) -> str | None:
        return next((value for key, value in self.query if key == name), None)

    def flag(self, name: str) -> bool:
        """Booleans arrive as `true` or `1`."""
        return self.parameter(name) in {"true", "True", "1", ""}

    def without_header(self, *names: str) -> Self:
        return replace(self, headers={name: value for name, value in self.headers.items() if name not in names})


@dataclass(frozen=True, slots=True)
class Whole:
    """A body held in memory; its first byte stands at `offset` in the file."""

    content: bytes = b""
    offset: int = 0

    @property
    def length(self) -> int:
        return len(self.content)

    def first(self, length: int) -> Self:
        return replace(self, content=self.content[:length])


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes [start, stop) of a blob, computed while they are sent."""

    blob: Blob
    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start

    @property
    def offset(self) -> int:
        return self.start

    def first(self, length: int) -> Self:
        return replace(self, stop=min(self.stop, self.start + length))


Body = Whole | Part


@dataclass(frozen=True, slots=True)
class Answer:
    """One response. Without `content-length` it goes out chunked. A HEAD has the headers of the GET and no body."""

    status: int
    headers: Headers = field(default_factory=dict)
    body: Body = Whole()

    def with_headers(self, headers: Headers) -> Self:
        return replace(self, headers={**self.headers, **headers})

    def with_body(self, body: Body) -> Self:
        return replace(self, body=body)

    def with_status(self, status: int) -> Self:
        return replace(self, status=status)

    def without_header(self, name: str) -> Self:
        return replace(self, headers={key: value for key, value in self.headers.items() if key != name})


def json_answer(value: object, *, status: int = 200, headers: Headers | None = None) -> Answer:
    return whole_answer(json.dumps(value).encode(), "application/json; charset=utf-8", status=status, headers=headers)


def whole_answer(content: bytes, content_type: str, *, status: int = 200, headers: Headers | None = None) -> Answer:
    sized = {"content-type": content_type, "content-length": str(len(content))}
    return Answer(status, {**sized, **(headers or {})}, Whole(content))


def redirect(status: int, location: str, headers: Headers | None = None) -> Answer:
    word = {302: "Found", 307: "Temporary Redirect"}[status]
    content = f"{word}. Redirecting to {location}".encode()
    return whole_answer(
        content, "text/plain; charset=utf-8", status=status, headers={**(headers or {}), "location": location}
    )
