"""One request from its head to its account: what was asked, by whom, and what has been sent so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from proxy.cluster.signing import Asker
from proxy.core.caller import ANONYMOUS, Caller
from proxy.core.clock import Clock
from proxy.fetch.coordinator import CacheOutcome, Located
from proxy.fetch.reading import ByteSource
from proxy.hub.names import RepoId
from proxy.hub.targets import (
    AuthCheck,
    Commits,
    GitPack,
    GitRefs,
    LfsBatch,
    OciBlob,
    OciManifest,
    OtherApi,
    PathsInfo,
    RawFile,
    Refs,
    RepoInfo,
    ResolveFile,
    Target,
    Tree,
    XetToken,
)

from .connection import Connection
from .hot import TheirDate
from .observer import Exchange
from .problems import Side
from .request_ids import request_id
from .strictness import valid_host

_KNOWN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT"})


class Visit:
    """A request under way. The application fills it in; `exchange` is its account when it is over."""

    def __init__(self, request: web.BaseRequest, connection: Connection, clock: Clock) -> None:
        self.request = request
        self.connection = connection
        self.request_id = request_id(request.headers.get("X-Request-Id"))
        self.caller: Caller = ANONYMOUS
        self.route = "other"
        self.side = Side.ELSEWHERE
        self.cache = CacheOutcome.NONE
        self.code = 499
        self.size = 0
        self.aborted = False
        self.leaks = False
        self.failure: str | None = None
        self.asker: Asker | None = None
        """The node that asks, once it has shown to be one."""
        self.target: Target | None = None
        self.cache_status: str | None = None
        """The whole Cache-Status field, where more is to be said than `cache` does."""
        self.located: Located | None = None
        """The file that is answered for, once the caller was found to be allowed it."""
        self.is_asked_on = False
        """Whether the client was told to go on with its body."""
        self.hit: TheirDate | None = None
        """Of a generic origin's kept answer that everybody who asks alike gets, as long as it is fresh."""
        self.sent: Counter[ByteSource] = Counter()
        self._clock = clock
        self._began = clock.monotonic()
        self._first_byte: float | None = None

    def __repr__(self) -> str:
        return f"<Visit {self.request_id} {self.method} {self.route} {self.code}>"

    @property
    def method(self) -> str:
        return self.request.method

    @property
    def traits(self) -> Mapping[str, str | int]:
        """What a trace says of it."""
        return {
            "http.request.method": self.method,
            "http.route": self.route,
            "http.response.status_code": self.code,
            "penstock.cache": self.cache.value,
            "penstock.request_id": self.request_id,
        }

    @property
    def fields(self) -> Mapping[str, str]:
        return self.request.headers

    @property
    def now(self) -> float:
        """Monotonic seconds."""
        return self._clock.monotonic()

    @property
    def wants_body(self) -> bool:
        return self.method != "HEAD"

    @property
    def head_sent(self) -> bool:
        """Whether it is too late for another status."""
        return self._first_byte is not None

    @property
    def awaits_asking(self) -> bool:
        """Whether the client waits to be asked for its body (RFC 9110 §10.1.1: not by HTTP/1.0), and still can be:
        behind the head of its answer it would take the question for a part of that."""
        if self.is_asked_on or self.head_sent or "Expect" not in self.request.headers:
            return False
        return self.request.version >= (1, 1)

    @property
    def leaves_body(self) -> bool:
        """Whether an answer now comes before the body was asked for: nobody knows whether that, or another request,
        comes next, so the connection has to end."""
        return self.awaits_asking and not self.request.content.is_eof()

    def field(self, name: str) -> str | None:
        """A request field, repeated lines joined with commas (RFC 9110 §5.3)."""
        lines = self.request.headers.getall(name, ())
        return ", ".join(lines) if lines else None

    def base_url(self, external_url: str | None) -> str | None:
        """Where this client reaches us: the configured address, else the Host it asked for, else None."""
        if external_url is not None:
            return external_url
        host = self.request.headers.get("Host")
        if host is None or not valid_host(host):
            return None
        secure = self.connection.transport.get_extra_info("sslcontext") is not None
        return f"{'https' if secure else 'http'}://{host}"

    def head_goes_out(self, code: int, size: int) -> None:
        """The head with status `code`, promising `size` bytes, is handed over now."""
        self.code, self.size = code, size
        self._first_byte = self._clock.monotonic()

    def broke(self, error: BaseException) -> None:
        """The answer did not end as promised."""
        self.aborted = True
        self.failure = self.failure or type(error).__name__

    def exchange(self) -> Exchange:
        """The account of the request, at its end."""
        agent = self.request.headers.get("User-Agent")
        wanted = self.request.headers.get("Range")
        repo, revision, path = _subject(self.target)
        return Exchange(
            request_id=self.request_id,
            client=self.connection.client,
            method=self.method if self.method in _KNOWN_METHODS else "other",
            target=self.request.raw_path.partition("?")[0][:1024],
            route=self.route,
            code=self.code,
            cache=self.cache,
            sent=tuple((source, count) for source, count in self.sent.items() if count),
            size=self.size,
            range=None if wanted is None else wanted[:128],
            first_byte_seconds=None if self._first_byte is None else self._first_byte - self._began,
            seconds=self._clock.monotonic() - self._began,
            aborted=self.aborted,
            failure=self.failure,
            user_agent=None if agent is None else agent[:256],
            host=self.request.headers.get("Host", "")[:255],
            repo=repo,
            revision=revision,
            path=path,
            peer=None if self.asker is None else self.asker.node,
        )


def _subject(target: Target | None) -> tuple[str | None, str | None, str | None]:
    """Repo, revision and path that `target` is about, as far as it names them."""
    match target:
        case ResolveFile(file) | RawFile(file):
            return str(file.repo), file.revision.text, file.path
        case Tree(repo, revision, directory, _):
            return str(repo), revision.text, directory
        case PathsInfo(repo, revision) | Commits(repo, revision, _) | XetToken(repo, revision):
            return str(repo), revision.text, None
        case RepoInfo(repo, revision, _):
            return str(repo), None if revision is None else revision.text, None
        case GitRefs(repo) | GitPack(repo) | LfsBatch(repo) | OciManifest(repo, _) | OciBlob(repo, _, _):
            return str(repo), None, None
        case Refs(repo, _) | AuthCheck(repo) | OtherApi(_, RepoId() as repo):
            return str(repo), None, None
        case _:
            return None, None, None
