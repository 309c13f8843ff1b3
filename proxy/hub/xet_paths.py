"""Where the Xet facade is, under `/__xet`: the address that clients are given as their `casUrl`.

/v2/reconstructions/{hash}   hf_xet 1.5 and later
/v1/reconstructions/{hash}   1.3 and 1.4, and whoever finds no v2
/reconstructions/{hash}      1.1.10 to 1.2
/reconstruction/{hash}       up to 1.1.5
/v1/telemetry                POST: swallowed
/x/{etag}/{index}?t={ticket} a xorb, at the address a reconstruction gave out
"""

from __future__ import annotations

import re
from typing import Final, assert_never

from proxy.core.errors import RequestRefused
from proxy.core.secret import Secret

from .rawtarget import RawTarget
from .targets import XetReconstruction, XetTarget, XetTelemetry, XetXorb

PREFIX: Final = "__xet"
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")
_VERSIONS: Final = {
    ("v2", "reconstructions"): 2,
    ("v1", "reconstructions"): 1,
    ("reconstructions",): 1,
    ("reconstruction",): 1,
}


def parse(raw: RawTarget, rest: tuple[str, ...], method: str) -> XetTarget | None:
    """What `rest` of the path means behind the prefix; None when nothing. Raises RequestRefused (wrong method)."""
    found = _parse(raw, rest)
    if found is None or method in (("POST",) if isinstance(found, XetTelemetry) else ("GET", "HEAD")):
        return found
    raise RequestRefused(f"{method} is not for this address of Xet")


def render(target: XetTarget) -> str:
    """The raw path and query; `parse` reads it back."""
    match target:
        case XetReconstruction(version, file_hash):
            return f"/{PREFIX}/v{version}/reconstructions/{file_hash}"
        case XetXorb(etag, index, ticket):
            return f"/{PREFIX}/x/{etag}/{index}?t={ticket.reveal()}"
        case XetTelemetry():
            return f"/{PREFIX}/v1/telemetry"
        case _:
            assert_never(target)


def _parse(raw: RawTarget, rest: tuple[str, ...]) -> XetTarget | None:
    match rest:
        case ("v1", "telemetry"):
            return XetTelemetry()
        case ("x", etag, index) if _HASH.fullmatch(etag) and _INDEX.fullmatch(index):
            return XetXorb(etag, int(index), _ticket(raw.query))
        case (*words, file_hash) if tuple(words) in _VERSIONS and _HASH.fullmatch(file_hash):
            return XetReconstruction(_VERSIONS[tuple(words)], file_hash)
        case _:
            return None


def _ticket(query: str) -> Secret:
    """Clients add nothing to the query they were given; anything else opens nothing."""
    name, _, text = query.partition("=")
    return Secret(text if name == "t" else "")
