"""`/-/livez` and `/-/readyz`: the same on both ports. Pure."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from proxy.hub.paths import UnknownTarget

from .answers import Small
from .strictness import READS, MethodRefused

Readiness = Callable[[], tuple[str, ...]]
"""Why the node should get no new traffic, a sentence each; empty when it is ready. An origin that is away is no reason:
hits still work."""


def answer_health(raw_target: str, method: str, ready: Readiness) -> Small:
    """The answer to a path under `/-/` of the data port. Raises UnknownTarget, MethodRefused."""
    path = raw_target.partition("?")[0]
    if path not in ("/-/livez", "/-/readyz"):
        raise UnknownTarget("there is nothing at this path; /-/livez and /-/readyz are")
    if method not in READS:
        raise MethodRefused(f"{method} is not for health checks; GET and HEAD are")
    reasons = ready() if path == "/-/readyz" else ()
    verdict = {"status": "not ready" if reasons else "ok", "reasons": reasons}
    return Small(503 if reasons else 200, _FIELDS, orjson.dumps(verdict))


_FIELDS = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
