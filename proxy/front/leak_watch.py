"""The self-test on every answer: does it lead its client away from here?

Nothing we send should; what does is a defect, counted and logged, and `penstock doctor` finds out more.
"""

from __future__ import annotations

import logging
from typing import Final

from proxy.hub.leaks import leaks_of_body, leaks_of_fields

from .answers import Headers
from .labels import WEB
from .observer import Observer
from .visit import Visit

log: Final = logging.getLogger(__name__)


class LeakWatch:
    """Looks at fields and JSON as they leave. `xet`: we offer Xet ourselves, so hints that lead here are none.

    What a generic origin answers leads where that origin wants its clients to go."""

    def __init__(self, observer: Observer, external_url: str | None, *, xet: bool) -> None:
        self._observer = observer
        self._external_url = external_url
        self._xet = xet

    def fields(self, headers: Headers, visit: Visit) -> None:
        """Look at the fields of an answer."""
        if visit.route == WEB:
            return
        suspects = [field for field in headers if "//" in field[1] or field[0][:6] in ("X-Xet-", "x-xet-")]
        if suspects:
            self._report(next(leaks_of_fields(suspects, self._home(visit), xet=self._xet), None), visit)

    def body(self, headers: Headers, content: bytes, visit: Visit) -> None:
        """Look at a body held in memory, before it is compressed."""
        if visit.route == WEB:
            return
        kind = next((text for name, text in headers if name.lower() == "content-type"), "")
        self._report(next(leaks_of_body(kind, content, self._home(visit), xet=self._xet), None), visit)

    def _home(self, visit: Visit) -> str | None:
        return visit.base_url(self._external_url)

    def _report(self, leak: object, visit: Visit) -> None:
        """Count a response once, whatever it leaks; what is logged names no address (it may be signed)."""
        if leak is None or visit.leaks:
            return
        visit.leaks = True
        self._observer.leaked()
        log.error("an answer leads its client away", extra={"request_id": visit.request_id, "route": visit.route})
