"""The Xet facade: access tokens, reconstructions, xorbs; all computed, nothing of it from a CAS (HUB-PROTOCOL §4.4)."""

from __future__ import annotations

from typing import Final, assert_never

import orjson

from proxy.access.signatures import Purpose, Signatures, Ticket
from proxy.config.schema import XetSection
from proxy.core.byterange import Single, Unsatisfiable, unsatisfied_range, wanted
from proxy.core.caller import ANONYMOUS, Caller, bearer
from proxy.core.clock import Clock
from proxy.core.errors import OriginRefused, RequestRefused, TicketForged
from proxy.core.spans import whole
from proxy.fetch.coordinator import CacheOutcome, Coordinator, Located
from proxy.hub import xet, xet_paths
from proxy.hub.links import Link, format_links
from proxy.hub.names import FileTarget, RepoId, RepoKind, Revision
from proxy.hub.paths import render
from proxy.hub.targets import ResolveFile, XetReconstruction, XetTarget, XetTelemetry, XetToken, XetXorb

from .answers import Answer, FilePart, Headers, Small, XorbBody
from .bodies import read_body
from .file_answers import without_size
from .limits import Limits
from .visit import Visit

_JSON: Final = ("Content-Type", "application/json; charset=utf-8")
_NOT_KEPT: Final = ("Cache-Control", "private, no-store")
_KEPT: Final = ("Cache-Control", "private, max-age=31536000, immutable, no-transform")


class XetRoutes:
    """What Xet clients ask. `key` makes callers of tokens, as the application's own does."""

    def __init__(
        self,
        coordinator: Coordinator,
        signatures: Signatures,
        settings: XetSection,
        limits: Limits,
        clock: Clock,
        external_url: str | None,
        key: bytes,
    ) -> None:
        self._coordinator = coordinator
        self._signatures = signatures
        self._settings = settings
        self._limits = limits
        self._clock = clock
        self._external_url = external_url
        self._key = key

    async def answer(self, target: XetToken | XetTarget, visit: Visit) -> Answer:
        if not self._settings.facade:
            raise no_xet()
        match target:
            case XetToken():
                return await self._token(target, visit)
            case XetReconstruction():
                return await self._reconstruction(target, visit)
            case XetXorb():
                return await self._xorb(target, visit)
            case XetTelemetry():
                await read_body(visit, self._limits)
                return Small(200, (_JSON, _NOT_KEPT), b"{}")
            case _:
                assert_never(target)

    def hints(self, located: Located, visit: Visit) -> Headers:
        """What a file's head says to a client that speaks Xet; nothing for files that are not advertised."""
        above = self._settings.advertised_above
        base = visit.base_url(self._external_url)
        facts, target = located.facts, located.target
        if facts.xet is None or base is None or not xet.is_advertised(facts, above):
            return ()
        refresh = base + render(XetToken(target.repo, target.revision))
        about = base + xet_paths.render(XetReconstruction(1, facts.xet))
        links = (Link(refresh, ("xet-auth",)), Link(about, ("xet-reconstruction-info",)))
        return (("X-Xet-Hash", facts.xet), ("X-Xet-Refresh-Route", refresh), ("Link", format_links(links)))

    def knows_client(self, method: str) -> bool:
        """Whether `sized_for` asks who the client is."""
        return self._settings.hide_size_above is not None and method == "HEAD"

    def sized_for(self, answer: Answer, visit: Visit) -> Answer:
        """The answer about a file, its size kept from a client that would refuse to fetch so much by plain HTTP."""
        above = self._settings.hide_size_above
        if above is None or visit.method != "HEAD" or "hf_hub/" not in (visit.field("User-Agent") or ""):
            return answer
        return without_size(answer, above)

    async def _token(self, target: XetToken, visit: Visit) -> Small:
        """Python reads the fields, all others the JSON."""
        granted = await self._coordinator.grant(visit.caller, target.repo, target.revision)
        cas_url = f"{self._base(visit)}/{xet_paths.PREFIX}"
        until = int(self._clock.wall() + self._settings.token_ttl)
        token = self._signatures.seal(
            Purpose.XET,
            {"kind": granted.repo.kind.value, "name": granted.repo.name, "commit": granted.commit},
            until=until,
            token=None if granted.everybody else visit.caller.token,
        )
        fields = (
            ("X-Xet-Cas-Url", cas_url),
            ("X-Xet-Access-Token", token),
            ("X-Xet-Token-Expiration", str(until)),
            ("X-Repo-Commit", granted.commit),
        )
        body = orjson.dumps({"casUrl": cas_url, "accessToken": token, "exp": until})
        return Small(200, (*fields, _JSON, _NOT_KEPT), body)

    async def _reconstruction(self, target: XetReconstruction, visit: Visit) -> Small:
        ticket, visit.caller = self._presented(visit.caller), ANONYMOUS
        repo, commit = _place(ticket)
        located = self._coordinator.located_by_xet(repo, commit, target.file_hash)
        if located is None:
            raise OriginRefused(404, f"no file of {repo} at {commit} has this hash", code="EntryNotFound")
        located = await self._coordinator.vouch_for_file(self._caller(ticket), located.target)
        visit.target = ResolveFile(located.target)
        etag, size = located.facts.etag, located.facts.size
        match wanted(visit.field("Range"), size):
            case Unsatisfiable():
                return Small(416, (("Content-Range", unsatisfied_range(size)), _NOT_KEPT))
            case Single(span):
                pass
            case _:
                span = whole(size)
        if not span:
            raise OriginRefused(404, "an empty file is made of no xorbs", code="EntryNotFound")
        base, sealed = self._base(visit), self._sealed(located, ticket)

        def url_of(index: int) -> str:
            return f"{base}/{xet_paths.PREFIX}/x/{etag}/{index}?t={sealed}"

        body = xet.v2_body if target.version == 2 else xet.v1_body
        content = orjson.dumps(body(etag, size, xet.reconstruction(size, span), url_of))
        return Small(200, (_JSON, _NOT_KEPT), content, cache=CacheOutcome.HIT)

    async def _xorb(self, target: XetXorb, visit: Visit) -> Answer:
        """The address was given out for this file, and stands for the caller it was given to."""
        ticket = self._signatures.read(Purpose.XORB, target.ticket)
        visit.caller = self._caller(ticket)
        located = await self._coordinator.vouch_for_file(visit.caller, _file(ticket))
        size = xet.xorb_size(located.facts.size, target.index)
        if located.facts.etag != target.etag or not size:
            raise TicketForged("this address was not given out here")
        visit.target = ResolveFile(located.target)
        headers = (("Content-Type", "application/octet-stream"), ("Accept-Ranges", "bytes"), _KEPT)
        part = wanted(visit.field("Range"), size)
        if isinstance(part, Unsatisfiable):
            return Small(416, (("Content-Range", unsatisfied_range(size)), _NOT_KEPT))
        return FilePart(XorbBody(located, target.index), size, headers, part)

    def _presented(self, caller: Caller) -> Ticket:
        """The access token of a client; where it came from is no matter of the Hub's."""
        if caller.token is None:
            raise OriginRefused(401, "an access token of Xet is needed here", headers=(("www-authenticate", "Bearer"),))
        return self._signatures.read(Purpose.XET, caller.token)

    def _sealed(self, located: Located, ticket: Ticket) -> str:
        """A ticket for the file's bytes: not longer than the token that was shown for it."""
        target = located.target
        claims = {
            "kind": target.repo.kind.value,
            "name": target.repo.name,
            "commit": located.commit,
            "path": target.path,
        }
        until = min(ticket.until, self._clock.wall() + self._settings.url_ttl)
        return self._signatures.seal(Purpose.XORB, claims, until=until, token=ticket.token)

    def _caller(self, ticket: Ticket) -> Caller:
        return ANONYMOUS if ticket.token is None else bearer(ticket.token, self._key)

    def _base(self, visit: Visit) -> str:
        base = visit.base_url(self._external_url)
        if base is None:
            raise RequestRefused("Xet needs addresses: send a Host field, or set server.external_url")
        return base


def no_xet() -> OriginRefused:
    """Xet is switched off: clients that remember an old listing ask for it, and should be told what to do."""
    return OriginRefused(
        404,
        "this mirror serves files over plain HTTP and not over Xet; set HF_HUB_DISABLE_XET=1, or clear the client's "
        "cached listing of this repo",
        code="EntryNotFound",
    )


def _place(ticket: Ticket) -> tuple[RepoId, str]:
    said = ticket.claims
    return RepoId(RepoKind(said["kind"]), said["name"]), said["commit"]


def _file(ticket: Ticket) -> FileTarget:
    """The file a ticket was made for."""
    repo, commit = _place(ticket)
    return FileTarget(repo, Revision(commit), ticket.claims["path"])
