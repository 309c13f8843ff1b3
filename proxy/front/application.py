"""The data port: one route table, and the one boundary that every request crosses.

A request is refused or routed on its raw path (never a decoded one), its caller is made out, a handler decides the
answer as a value, and the sender sends it. What goes wrong becomes a problem answer as long as no head was sent, and a
broken connection after that.
"""

from __future__ import annotations

import logging
import secrets
from typing import assert_never

from aiohttp import http_parser, web
from aiohttp.abc import AbstractStreamWriter

from proxy.access.signatures import Signatures
from proxy.cluster.signing import Signer
from proxy.config.schema import HotSection, XetSection
from proxy.core.changes import Changes
from proxy.core.clock import Clock, SystemClock
from proxy.core.errors import PenstockError, RequestRefused, WritesRefused
from proxy.fetch.coordinator import Coordinator
from proxy.fetch.web.in_fleet import WebLending
from proxy.fetch.web.owner import Owner
from proxy.hub.paths import parse
from proxy.hub.targets import (
    AuthCheck,
    Commits,
    GitPack,
    GitRefs,
    LfsBatch,
    LfsObject,
    OciBlob,
    OciManifest,
    OciPing,
    OciToken,
    OtherApi,
    PathsInfo,
    RawFile,
    Refs,
    RepoInfo,
    ResolveFile,
    Target,
    Tree,
    WhoAmI,
    WriteCall,
    XetReconstruction,
    XetTelemetry,
    XetToken,
    XetXorb,
)
from proxy.telemetry.tracing import Tracer, Untraced

from .answers import Answer, Small
from .caller import caller_of
from .cold import ColdReader
from .fastlane import FastLane
from .file_lane import FileLane
from .gate import Gate
from .git_routes import GitRoutes
from .health import Readiness, answer_health
from .hub_routes import FileRoutes
from .labels import label, side_of
from .leak_watch import LeakWatch
from .lfs_routes import LfsRoutes
from .limits import Limits
from .metadata_routes import MetadataRoutes
from .mounts import Mount
from .observer import Observer, SilentObserver
from .oci_routes import OciRoutes
from .peer_routes import PeerRoutes, is_for_peers
from .presence import ClientGone
from .problems import Side, body, problem
from .sending import Sender
from .strictness import READS, Head, MethodRefused, refusal
from .tickets import Tickets
from .visit import Visit
from .web_routes import WebRoutes
from .wire import Wire
from .xet_routes import XetRoutes

log = logging.getLogger(__name__)


def make_data_server(
    coordinator: Coordinator,
    limits: Limits,
    cold: ColdReader,
    *,
    observer: Observer | None = None,
    tracer: Tracer | None = None,
    clock: Clock | None = None,
    external_url: str | None = None,
    ready: Readiness = tuple,
    xet: XetSection | None = None,
    signatures: Signatures | None = None,
    signer: Signer | None = None,
    mounts: tuple[Mount, ...] = (),
    lending: WebLending | None = None,
    owner: Owner | None = None,
    hot: HotSection | None = None,
    changes: Changes | None = None,
    identities: bytes | None = None,
) -> Gate:
    """The protocol factory of the data port; call it on the running loop, give it to `listen`.

    `external_url` is where clients reach us (None: what their Host field says), `ready` why we should get no traffic.
    `signatures` make the addresses that clients carry around (None: such that this process alone knows), `signer` knows
    the other nodes of the fleet (None: there are none). `mounts` are the generic origins, `lending` reads of them and
    `owner` asks them for those nodes. `changes` counts what the rooms below take back, `hot` bounds what is kept ready
    (None for either: nothing is). `identities` is the key of callers' identities (None: one of its own).
    """
    clock, observer = clock or SystemClock(), observer or SilentObserver()
    lane = None
    if hot is not None and changes is not None and hot.is_on:
        generic = WebRoutes(mounts, limits) if mounts else None
        files = FileLane(coordinator, cold, observer, clock)
        lane = FastLane(changes, generic, observer, clock, files, entries=hot.entries, memory=hot.memory)
    gate = Gate(limits, observer, lane)
    signatures = signatures or Signatures.passing(clock=clock)
    application = Application(
        coordinator,
        gate,
        cold,
        clock,
        external_url,
        ready,
        xet or XetSection(),
        signatures,
        signer,
        mounts,
        lending,
        owner,
        tracer or Untraced(),
        identities or secrets.token_bytes(32),
    )
    server = web.Server(application.handle)
    gate.parser = lambda: Wire(server, gate)
    return gate


class NobodyThere(web.StreamResponse):
    """What aiohttp gets to hear when there is no client to answer: the connection is done with, nothing is wrong."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        raise ClientGone("the client has left")


class Application:
    """Answers the requests of one data port. `handle` is the request handler of aiohttp's low-level server."""

    def __init__(
        self,
        coordinator: Coordinator,
        gate: Gate,
        cold: ColdReader,
        clock: Clock,
        external_url: str | None,
        ready: Readiness,
        xet: XetSection,
        signatures: Signatures,
        signer: Signer | None,
        mounts: tuple[Mount, ...],
        lending: WebLending | None,
        owner: Owner | None,
        tracer: Tracer,
        identities: bytes,
    ) -> None:
        self._tracer = tracer
        self._web = WebRoutes(mounts, gate.limits)
        self._coordinator = coordinator
        self._gate = gate
        self._clock = clock
        self._ready = ready
        self._key = identities
        self._xet = XetRoutes(coordinator, signatures, xet, gate.limits, clock, external_url, self._key)
        self._files = FileRoutes(coordinator, self._xet.hints)
        self._metadata = MetadataRoutes(coordinator, gate.limits, external_url)
        self._git = GitRoutes(coordinator, gate.limits)
        tickets = Tickets(signatures, clock, self._key)
        self._lfs = LfsRoutes(coordinator, tickets, gate.limits, external_url)
        self._oci = OciRoutes(coordinator, tickets)
        self._peers = None if signer is None else PeerRoutes(coordinator, signer, self._key, lending, owner)
        self._sender = Sender(coordinator, gate, cold, LeakWatch(gate.observer, external_url, xet=xet.facade))

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever it is and whatever happens. Only cancellation from outside gets through."""
        try:
            connection = self._gate.connection(request.protocol)
        except ClientGone:
            return NobodyThere()
        connection.began()
        visit, goes_on = Visit(request, connection, self._clock), False
        self._gate.observer.request_began()
        try:
            async with connection.while_connected():
                response = await self._traced(visit)
                goes_on = bool(response.keep_alive)
                self._offer(response, visit)
                return response
        except ConnectionError as gone:  # ClientGone is one
            visit.broke(gone)
            connection.abort()
            return NobodyThere()
        except BaseException as error:
            visit.broke(error)
            connection.abort()
            raise
        finally:
            connection.answered(had_body=request.method not in READS, goes_on=goes_on)
            self._gate.observer.request_ended(visit.exchange())

    def _offer(self, response: web.StreamResponse, visit: Visit) -> None:
        """Let the fast lane have an answer that it would have liked to give."""
        lane, candidate = self._gate.lane, visit.connection.candidate
        if lane is None or candidate is None or visit.leaks or not response.keep_alive:
            return
        if visit.hit is not None:
            lane.keep_generic(candidate, visit.exchange(), response, visit.hit)
        elif visit.located is not None and not self._xet.knows_client(visit.method):
            holds = min(visit.located.fresh_for, self._coordinator.open_for(visit.located.target))
            lane.keep(candidate, visit.exchange(), response, holds=holds, age=visit.located.age)

    async def _traced(self, visit: Visit) -> web.StreamResponse:
        with self._tracer.serving(visit.method, visit.fields) as span:
            response = await self._respond(visit)
            if span is not None:
                span.note(visit.traits)
            return response

    async def _respond(self, visit: Visit) -> web.StreamResponse:
        try:
            return await self._sender.send(await self._answer(visit), visit)
        except ConnectionError:
            raise
        except Exception as error:  # the request boundary
            _report(error, visit)
            visit.failure = type(error).__name__
            if visit.head_sent:
                raise ClientGone("the body broke off") from error
            return await self._sender.send_small(self._refusal(error, visit), visit)

    def _refusal(self, error: Exception, visit: Visit) -> Small:
        if self._peers is not None and visit.asker is not None:
            return self._peers.refusal(error, visit)
        return _problem(error, visit)

    async def _answer(self, visit: Visit) -> Answer:
        request = visit.request
        head = Head(request.method, request.raw_path, request.version, request.headers, request.body_exists)
        is_web = self._web.is_for(head.raw_target)
        if (refused := refusal(head, any_method=is_web)) is not None:
            raise refused
        if self._peers is not None and is_for_peers(head.raw_target):
            return await self._peers.answer(head.raw_target, visit)
        if head.raw_target.startswith("/-/"):
            return answer_health(head.raw_target, head.method, self._ready)
        if is_web:
            return await self._web.answer(head.raw_target, visit)
        visit.side = Side.API if head.raw_target.startswith("/api/") else Side.FILES
        target = _target(head)
        visit.target, visit.route = target, label(target)
        visit.side = side_of(target, visit.side)
        visit.caller = caller_of(request.headers.get("Authorization"), self._key)
        return await self._route(target, visit)

    async def _route(self, target: Target, visit: Visit) -> Answer:
        """The route table."""
        match target:
            case ResolveFile() | RawFile():
                return self._xet.sized_for(await self._files.answer(target, visit), visit)
            case PathsInfo():
                return await self._metadata.paths_info(target, visit)
            case RepoInfo() | Tree() | Refs() | Commits():
                return await self._metadata.listing(target, visit)
            case AuthCheck() | WhoAmI() | OtherApi():
                return await self._metadata.pass_through(target, visit)
            case XetToken() | XetReconstruction() | XetXorb() | XetTelemetry():
                return await self._xet.answer(target, visit)
            case GitRefs():
                return await self._git.refs(target, visit)
            case GitPack():
                return await self._git.pack(target, visit)
            case LfsBatch():
                return await self._lfs.batch(target, visit)
            case LfsObject():
                return await self._lfs.object(target, visit)
            case OciPing():
                return self._oci.ping()
            case OciToken():
                return self._oci.token(visit)
            case OciManifest():
                return await self._oci.manifest(target, visit)
            case OciBlob():
                return await self._oci.blob(target, visit)
            case WriteCall():
                raise WritesRefused("this mirror is read-only; send uploads to the Hub itself (unset HF_ENDPOINT)")
            case _:
                assert_never(target)


def _target(head: Head) -> Target:
    try:
        return parse(head.raw_target, head.method)
    except RequestRefused as error:
        if head.method in READS:
            raise
        raise MethodRefused(str(error)) from error


def _problem(error: Exception, visit: Visit) -> Small:
    found = problem(error, visit.side)
    headers, content = body(found, visit.side, visit.request_id, visit.base_url(None))
    return Small(found.status, (*headers, ("Cache-Control", "no-store")), content, close=found.close)


def _report(error: Exception, visit: Visit) -> None:
    """What is ours to mend is logged with its traceback; what a client or an origin did is in the access log."""
    if not isinstance(error, PenstockError):
        log.error("request failed", extra={"request_id": visit.request_id, "route": visit.route}, exc_info=error)
    elif visit.head_sent:
        log.warning(
            "body broke off",
            extra={"request_id": visit.request_id, "route": visit.route, "error": type(error).__name__},
        )


def require_c_parser() -> None:
    """Refuse to serve with aiohttp's pure-Python parser, which lets through what the C parser refuses (RELIABILITY
    §3.2). Raises RuntimeError."""
    if http_parser.HttpRequestParser.__module__ != "aiohttp._http_parser":
        raise RuntimeError("aiohttp runs without its C parser here; install a wheel for this platform")
