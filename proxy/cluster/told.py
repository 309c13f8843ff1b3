"""What a peer's answer means when it is not the bytes that were asked for. Pure."""

from __future__ import annotations

from typing import Any, Final

import orjson

from proxy.core.errors import (
    AddressRefused,
    AskAnother,
    FoundWrong,
    OriginBusy,
    OriginRefused,
    PeerFailed,
    PeerLeaving,
    PeerSlow,
    PenstockError,
)
from proxy.hub.peering import ADDRESS_REFUSED

_WRONG: Final = 409
"""It has read the whole, and from the origin too: the bytes are not what the origin announces."""
_AWAY: Final = frozenset({421, 502})
"""It has not got the bytes and will not fetch them; or cannot, because the origin is away from there."""
_LEAVING: Final = 410
"""It has not got the bytes, and hands its slices over."""


def told(status: int, said: bytes) -> PenstockError:
    """What a peer's signed answer without bytes means."""
    try:
        answer: dict[str, Any] = orjson.loads(said)
        message = str(answer["error"])
        headers = tuple((str(name), str(text)) for name, text in answer.get("headers", ()))
        if status == _WRONG and answer.get("refused") is not True:
            return FoundWrong(message)
        if status in _AWAY:
            return AddressRefused(message) if answer.get("code") == ADDRESS_REFUSED else AskAnother(message)
        if status == _LEAVING and answer.get("refused") is not True:
            return PeerLeaving(message)
        if status == 429:
            return OriginBusy(message, int(answer["retry_after"]))
        if answer.get("refused") is True and 400 <= status < 500:
            return OriginRefused(status, message, code=answer.get("code"), commit=answer.get("commit"), headers=headers)
    except (ValueError, KeyError, TypeError):
        return PeerFailed(f"an answer with status {status} that says nothing readable")
    return PeerFailed(f"status {status}: {message}")


def result_of(error: PenstockError) -> str:
    """For the metric."""
    match error:
        case AskAnother() | PeerSlow():
            return "elsewhere"
        case OriginRefused() | OriginBusy() | AddressRefused():
            return "refused"
        case _:
            return "failed"
