"""The synthetic Hub on its ports: one for the Hub, one for its "CDN", one for its "CAS"."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

from aiohttp import web

from . import cas, cdn, control, distort, routes
from .content import Blob
from .counters import Counters, RequestRecord
from .delivery import Delivery, Hangup, before_answer, hang_up
from .faults import Faults, Gate, Hold
from .gitfolder import GitFolder
from .messages import API_KINDS, Answer, Asked, Kind, Plane
from .quota import Quota
from .site import Signer, Site
from .world import World

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; port 0 lets the kernel choose. `name` is the host in the addresses given out, if another."""

    host: str = LOOPBACK
    port: int = 0
    name: str = ""

    @property
    def url(self) -> str:
        host = self.name or self.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


class Door:
    """One listening port, which can be closed and opened again.

    A second socket, bound but never listening, keeps the port ours while the door is closed.
    """

    def __init__(self, server: web.Server, address: Address) -> None:
        self._server = server
        self._listener: asyncio.Server | None = None
        self._claim: socket.socket | None = None
        self.address = address

    async def open(self) -> None:
        """Listen; the port chosen the first time is kept."""
        if self._listener is not None:
            return
        if self._claim is None:
            self._claim = _bound(self.address)
            self.address = replace(self.address, port=self._claim.getsockname()[1])
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._server, sock=_bound(self.address), backlog=1024)

    async def close(self) -> None:
        """Refuse new connections and abort those there are."""
        if self._listener is None:
            return
        self._listener.close()
        self._listener = None
        for connection in self._server.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(0)

    async def shut(self) -> None:
        """Close for good, and end what is being answered."""
        await self.close()
        await self._server.shutdown(0.05)
        if self._claim is not None:
            self._claim.close()


class SyntheticHub:
    """A running Hub. `world` and `faults` may be changed at any time; `counters` and `log` say what happened.

    `plain_limit` (none at first) is what its CDN refuses to deliver by plain HTTP; `cas` expires tokens and addresses.

    Make it with `async with SyntheticHub.open(world) as hub`.
    """

    def __init__(self, world: World, faults: Faults, *, clock: Callable[[], float], xet: bool) -> None:
        self.world = world
        self.faults = faults
        self.counters = Counters()
        self._signer = Signer(clock)
        self.cas = cas.Cas(clock)
        self.plain_limit: cdn.PlainLimit | None = None
        self._delivery = Delivery(faults, self.counters)
        self._xet = xet
        self._clock = clock
        self.quota: Quota | None = None
        self._git = GitFolder()
        self._doors: dict[Plane, Door] = {}
        self._serial = 0
        self._reopening: asyncio.Task[None] | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        world: World,
        faults: Faults | None = None,
        *,
        listen: Address | None = None,
        cdn: Address | None = None,
        clock: Callable[[], float] = time.time,
        xet: bool = True,
    ) -> AsyncIterator["SyntheticHub"]:
        """Listen on loopback. Without `xet` large files are plain LFS files; `clock` decides when addresses expire."""
        hub = cls(world, faults if faults is not None else Faults(), clock=clock, xet=xet)
        addresses = {Plane.HUB: listen or Address(), Plane.CDN: cdn or Address(), Plane.CAS: Address()}
        try:
            for plane, address in addresses.items():
                hub._doors[plane] = Door(hub._server_of(plane), address)
                await hub._doors[plane].open()
            yield hub
        finally:
            await hub._close()

    @property
    def url(self) -> str:
        return self._doors[Plane.HUB].address.url

    @property
    def cdn_url(self) -> str:
        return self._doors[Plane.CDN].address.url

    def call_cdn(self, name: str) -> None:
        """From now on the addresses given out have this host for the CDN; it listens where it did."""
        door = self._doors[Plane.CDN]
        door.address = replace(door.address, name=name)

    @property
    def cas_url(self) -> str:
        return self._doors[Plane.CAS].address.url

    @property
    def log(self) -> list[RequestRecord]:
        """The latest requests, oldest first."""
        return list(self.counters.log)

    def hold(
        self, kind: str = "cdn", after: int | None = 0, *, path: str = "", times: int | None = None, skip: int = 0
    ) -> Gate:
        """Let matching requests wait until the gate is released: after so many body bytes, or (None) unanswered."""
        gate = Gate()
        self.faults.add(Hold(gate, after), kinds=(kind,), path=path, times=times, skip=skip)
        return gate

    def limit_rate(self, limit: int, seconds: float) -> Quota:
        """From now on each account may ask so often in so many seconds, and is told what is left."""
        self.quota = Quota(limit, seconds, self._clock)
        return self.quota

    def expire_urls(self) -> None:
        """Every CDN address minted so far answers 403 from now on."""
        self._signer.expire_all()

    async def off(self, *planes: Plane) -> None:
        """Close ports (all, if none is named) and abort their connections, as a dead host does."""
        for plane in planes or tuple(self._doors):
            await self._doors[plane].close()

    async def on(self) -> None:
        """Listen again on the same ports."""
        for door in self._doors.values():
            await door.open()

    def off_for(self, seconds: float) -> None:
        """Go off as soon as the running request is answered, and come back by itself."""
        if self._reopening is not None:
            self._reopening.cancel()
        self._reopening = asyncio.get_running_loop().create_task(self._blink(seconds), name="synthetic hub blinks")

    async def _blink(self, seconds: float) -> None:
        await asyncio.sleep(0.05)
        await self.off()
        await asyncio.sleep(seconds)
        await self.on()

    async def _close(self) -> None:
        if self._reopening is not None:
            self._reopening.cancel()
            await asyncio.gather(self._reopening, return_exceptions=True)
        for door in self._doors.values():
            await door.shut()
        self._git.close()

    def _server_of(self, plane: Plane) -> web.Server:
        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            return await self._handle(plane, request)

        return web.Server(handle, handler_cancellation=True, access_log=None, keepalive_timeout=75)

    async def _handle(self, plane: Plane, request: web.BaseRequest) -> web.StreamResponse:
        asked = await _asked_by(request)
        if plane is Plane.HUB and asked.path.startswith(control.PREFIX):
            return await control.handle(self, asked)
        kind = _kind_of(plane, asked)
        acts = self.faults.take(plane, kind, asked)
        record = RequestRecord(request.method, asked.raw_path, 0, asked.headers, 0, kind, plane)
        self.counters.record(record)
        try:
            await before_answer(acts, self.faults.latency if kind in API_KINDS else 0.0)
        except Hangup as hangup:
            hang_up(request, reset=hangup.reset)
            return web.StreamResponse()
        try:
            return await self._answered(plane, request, asked, acts, record)
        except ConnectionError:
            return web.StreamResponse()  # who asked is gone; aiohttp finds that out by itself

    async def _answered(
        self, plane: Plane, request: web.BaseRequest, asked: Asked, acts: distort.Acts, record: RequestRecord
    ) -> web.StreamResponse:
        kind = record.kind
        said, refusal = self.quota.spend(kind, asked) if self.quota and plane is Plane.HUB else ({}, None)
        answer = refusal or distort.instead(asked, acts)
        answer = answer or await self._answer(plane, distort.asked_as(asked, acts), acts)
        answer = distort.answered_as(self._signed(plane, answer.with_headers({**said, **answer.headers})), acts)
        self.counters.answered(record, answer.status)
        return await self._delivery.send(request, answer, acts, record)

    async def _answer(self, plane: Plane, asked: Asked, acts: distort.Acts) -> Answer:
        if plane is Plane.CDN:
            return cdn.answer(self._signer, asked, self.plain_limit)
        if plane is Plane.CAS:
            return cas.answer(self.cas, self.world, self.cas_url, asked)
        site = Site(self.world, self._signer, self.url, self.cdn_url, self.cas_url, self.cas, self._xet)
        await _hash_blobs(site, asked)
        answer = routes.answer(site, asked, distort.url_terms(acts))
        return await self._by_git(site, asked) if answer.status == routes.GRANTED else answer

    async def _by_git(self, site: Site, asked: Asked) -> Answer:
        target = routes.target_of(asked)
        repo = routes.repo_of(site, target)
        assert repo is not None, "only who may read a repo is sent on to git"
        return await self._git.answer(repo, asked, "info/refs" if target.kind is Kind.GIT_REFS else "git-upload-pack")

    def _signed(self, plane: Plane, answer: Answer) -> Answer:
        self._serial += 1
        if plane is Plane.CDN:
            return answer.with_headers({"x-amz-request-id": f"{self._serial:016X}", "server": "SyntheticS3"})
        common = {"x-request-id": f"Root=1-{self._serial:08x}-synthetic", "x-powered-by": "synthetic-hub"}
        return answer.with_headers(
            {"vary": "Origin", "access-control-allow-origin": self.url, **common, **answer.headers}
        )


async def _asked_by(request: web.BaseRequest) -> Asked:
    headers = {name.lower(): value for name, value in request.headers.items()}
    raw_path = "/" + request.raw_path.lstrip("/")
    return Asked(request.method, raw_path, headers, await request.content.read() if request.can_read_body else b"")


def _kind_of(plane: Plane, asked: Asked) -> Kind:
    match plane:
        case Plane.HUB:
            return routes.target_of(asked).kind
        case Plane.CDN:
            return Kind.CDN
        case Plane.CAS:
            return cas.kind_of(asked)


def _bound(address: Address) -> socket.socket:
    """A bound socket. Raises OSError that names the address."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((address.host, address.port))
    except OSError as error:
        bound.close()
        raise OSError(f"cannot listen on {address.host}:{address.port}: {error.strerror}") from error
    return bound


def _hash(blob: Blob) -> str:
    return blob.sha256


async def _hash_blobs(site: Site, asked: Asked) -> None:
    """Hash what the answer may name, in a thread: large blobs take a second per GiB."""
    repo = routes.repo_of(site, routes.target_of(asked))
    for blob in list(repo.unhashed()) if repo is not None else ():
        await asyncio.to_thread(_hash, blob)
