"""The Hub's routes: what each target of the file plane is answered with."""

from __future__ import annotations

from typing import assert_never

from proxy.core.conditional import Conditions
from proxy.fetch.coordinator import Coordinator, Elsewhere, Located
from proxy.hub.targets import RawFile, ResolveFile

from .answers import Answer
from .file_answers import answer_file, moved
from .visit import Visit


class FileRoutes:
    """GET and HEAD of `resolve` and `raw`."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator

    async def answer(self, asked: ResolveFile | RawFile, visit: Visit) -> Answer:
        """The file's bytes at a commit; a redirect there from any other revision."""
        match await self._coordinator.locate(visit.caller, asked.file):
            case Elsewhere(target):
                return moved(asked, target)
            case Located() as located:
                return answer_file(asked, located, _conditions(visit), visit.field("Range"), visit.method)
            case never:
                assert_never(never)


def _conditions(visit: Visit) -> Conditions:
    return Conditions(
        visit.field("If-Match"),
        visit.field("If-None-Match"),
        visit.field("If-Modified-Since"),
        visit.field("If-Unmodified-Since"),
        visit.field("If-Range"),
    )
