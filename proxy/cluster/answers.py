"""Answers of generic origins, asked of another node of the fleet: one signed request, a signed head, and a body.

The head (`HEAD`, opaque here) is believed when a member has signed it. Whatever keeps an answer away, the node that
asks can ask the origin itself; so a node that is merely slow, or has its reasons, is not taken for a broken one.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from itertools import takewhile
from typing import Final

import aiohttp

from proxy.core.blob import BlobKey
from proxy.core.bounded import BoundedDict
from proxy.core.clock import Clock
from proxy.core.connections import in_short
from proxy.core.errors import AskAnother, PeerFailed, PeerLeaving, PeerRefused, PenstockError
from proxy.core.turns import Turns
from proxy.hub.web_asking import AnswerQuestion

from .members import Member
from .membership import Membership
from .peers import ANSWERS, PROOF, Peers, all_of
from .roster import MOST
from .signing import Asking
from .told import told

HEAD: Final = "X-Penstock-Head"
LONGEST_HEAD: Final = 14 * 1024
"""Characters of that field: a longer one would not be read."""
QUIET_FOR: Final = 3.0
"""Seconds for which a node that did not answer in time is not asked again."""


class PeerAnswer:
    """An answer whose head is here. To be closed by whoever holds it, however it ends."""

    def __init__(
        self, peer: str, said: bytes, answer: aiohttp.ClientResponse, stack: AsyncExitStack, to: Peers
    ) -> None:
        self.said = said
        """What the peer tells of it (`fetch.web.telling`)."""
        self.length = answer.content_length
        """Bytes of the body; None when nobody knows yet."""
        self._peer = peer
        self._answer = answer
        self._stack = stack
        self._observer = to.observer
        self._result = "left"
        self._is_closed = False

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises PeerFailed when it is cut, or stops for too long."""
        try:
            async for piece in self._answer.content.iter_any():
                self._observer.peer_bytes(len(piece))
                yield piece
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._result = "failed"
            raise PeerFailed(f"{self._peer} did not give all of the answer: {in_short(error)}") from None
        self._result = "ok"

    async def aclose(self) -> None:
        """Let go of the connection."""
        if not self._is_closed:
            self._is_closed = True
            self._observer.peer_read("ok" if self.length == 0 else self._result)
            await self._stack.aclose()


class Answers:
    """Asks the other nodes; see `fetch.web.ports.Fellows`."""

    def __init__(self, membership: Membership, peers: Peers, clock: Clock) -> None:
        self._membership = membership
        self._peers = peers
        self._clock = clock
        self._turns = Turns(peers.limits.connections)
        self._quiet: BoundedDict[str, float] = BoundedDict(entries=MOST)

    def before_us(self, place: BlobKey) -> tuple[str, ...]:
        """The peers that rank before us for what is asked for there, best first; nobody when it is ours to ask."""
        view = self._membership.view
        return tuple(takewhile(lambda name: name != view.us, (member.name for member in view.ranked(place, 0))))

    async def ask(self, peer: str, question: AnswerQuestion) -> PeerAnswer:
        """Its answer, as soon as it has the head. Raises PeerFailed, AskAnother."""
        if self._clock.monotonic() < (self._quiet.get(peer) or 0.0):
            raise AskAnother(f"{peer} did not answer in time a moment ago")
        result = "failed"
        try:
            answer = await self._begun(self._member(peer), question)
            result = ""
        except asyncio.CancelledError:
            result = "left"
            raise
        except PeerFailed:
            self._membership.failed(peer)
            raise
        except PeerLeaving:
            self._membership.leaving(peer)
            result = "elsewhere"
            raise
        except AskAnother:
            result = "elsewhere"
            raise
        finally:
            if result:
                self._peers.observer.peer_read(result)
        self._membership.succeeded(peer)
        return answer

    async def _begun(self, member: Member, question: AnswerQuestion) -> PeerAnswer:
        limits = self._peers.limits
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(limits.connect_timeout + limits.progress_timeout):
                    await stack.enter_async_context(self._turns.turn(member.url))
                    answer, said = await self._head(stack, member, question)
            except aiohttp.ConnectionTimeoutError as error:
                raise PeerFailed(f"{member.name} cannot be reached: {in_short(error)}") from None
            except TimeoutError:
                # It may wait for the origin, as we would: no reason to leave it out of the fleet.
                self._quiet.put(member.name, self._clock.monotonic() + QUIET_FOR)
                raise AskAnother(f"{member.name} did not answer in time") from None
            except (aiohttp.ClientError, OSError) as error:
                raise PeerFailed(f"{member.name} gave no answer: {in_short(error)}") from None
            return PeerAnswer(member.name, said, answer, stack.pop_all(), self._peers)

    async def _head(
        self, stack: AsyncExitStack, member: Member, question: AnswerQuestion
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """Its answer, and the signed head. Raises PeerFailed, AskAnother."""
        try:
            asking = Asking("GET", ANSWERS, "", self._peers.signer.seal(question))
        except PeerRefused as error:
            raise AskAnother(str(error)) from None
        answer, asker = await self._peers.send(stack, member, asking, 1, self._peers.limits.progress_timeout)
        said = _said(answer) if answer.status == 200 else await all_of(answer)
        if not self._peers.signer.is_proof(answer.headers.get(PROOF, ""), asker, answer.status, said):
            raise PeerFailed(f"an unsigned answer with status {answer.status}: another secret, clock, or node?")
        if answer.status != 200:
            raise _elsewhere(told(answer.status, said))
        return answer, said

    def _member(self, name: str) -> Member:
        """Raises AskAnother for one that has left."""
        found = next((member for member in self._membership.view.members if member.name == name), None)
        if found is None:
            raise AskAnother(f"{name} has left the fleet")
        return found


def _said(answer: aiohttp.ClientResponse) -> bytes:
    """Raises PeerFailed."""
    try:
        return base64.b64decode(answer.headers.get(HEAD, ""), validate=True)
    except (binascii.Error, ValueError):
        raise PeerFailed("an answer with a head that cannot be read") from None


def _elsewhere(refusal: PenstockError) -> AskAnother:
    """A member said no, be it because of the origin or of its own version: we ask for ourselves."""
    return refusal if isinstance(refusal, AskAnother) else AskAnother(str(refusal))
