"""The bytes of objects by their digest: found otherwise than files, read like them (see `source`)."""

from __future__ import annotations

from typing import Final

from yarl import URL

from proxy.core.caller import Caller
from proxy.core.errors import OriginRefused
from proxy.core.rights import Plane
from proxy.core.sizes import KIB
from proxy.hub import lfs_batch
from proxy.hub.facts import FileFacts
from proxy.hub.lfs_batch import LfsMissing

from .answers import refusal
from .source import HubSource, Landing, Ways

_LARGEST_ANSWER: Final = 64 * KIB
"""Bytes of an answer about one object."""


class RegistrySource(HubSource):
    """A blob of the registry at `/v2/…`, which redirects to the store of large files, or gives small ones itself.

    Its ETag at home is the registry's own, so it is pinned as an address abroad is."""

    def _pin(self, place: Landing) -> str | None:
        return self._pins.get(place.url.authority)


class LfsSource(RegistrySource):
    """An object of git-lfs: a batch question for it alone tells where it is."""

    def __init__(
        self, ways: Ways, url: URL, facts: FileFacts, caller: Caller, lent: Caller | None = None, *, question: bytes
    ) -> None:
        super().__init__(ways, url, facts, caller, lent)
        self._question = question

    async def _find_as(self, caller: Caller, can_wait: bool) -> Landing:
        fields = (("Content-Type", lfs_batch.MEDIA_TYPE), ("Accept", lfs_batch.MEDIA_TYPE))
        line = self._ways.line
        asked = line.ask("POST", self._url, caller, Plane.FILES, fields=fields, body=self._question, can_wait=can_wait)
        async with asked as answer:
            body = await answer.whole(_LARGEST_ANSWER)
            head = answer.head
        if head.status != 200:
            raise refusal(head, body)
        said = lfs_batch.read_answer(body).get(
            self._facts.etag, LfsMissing(404, "the origin says nothing of this object")
        )
        if isinstance(said, LfsMissing):
            raise OriginRefused(said.code if 400 <= said.code < 500 else 404, said.message)
        return self._ways.rules.judge(self._url, said.href)
