"""The command `penstock` with one bug planted: `python -m tests.kit.sabotage BUG serve …`.

Each bug replaces one function of the product, from outside, in this process alone (so: one worker). They exist to prove
that the oracles see what they claim to see.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Callable
from typing import Any

import proxy.front.caller
import proxy.front.sending
import proxy.hub.listings
import proxy.service.observers
from proxy.cli.main import main
from proxy.core.blob import Digest
from proxy.core.spans import Span
from proxy.origin.source import HubSource


def flip_a_byte() -> None:
    """Every body leaves with one bit of its first byte turned."""

    def sendfile(out: int, source: int, offset: int, count: int) -> int:
        content = bytearray(os.pread(source, min(count, 65536), offset))
        if content:
            content[0] ^= 1
        return os.write(out, content)

    os.sendfile = sendfile  # type: ignore[assignment]


def end_short_and_clean() -> None:
    """A whole file is promised, and sent, a thousand bytes short."""
    proxy.front.sending.whole = lambda size: Span(0, max(0, size - 1000))  # type: ignore[attr-defined]


def fetch_twice() -> None:
    """Everything is downloaded, thrown away, and downloaded again."""
    once = HubSource.read

    async def read(source: HubSource, span: Span, *, can_wait: bool = False) -> AsyncGenerator[bytes, None]:
        async for _ in once(source, span, can_wait=can_wait):
            pass
        async for piece in once(source, span, can_wait=can_wait):
            yield piece

    HubSource.read = read  # type: ignore[method-assign,assignment]


def leak_a_descriptor() -> None:
    """Each request leaves one open."""
    observer = proxy.service.observers.FrontObserver
    ended = observer.request_ended

    def request_ended(self: Any, exchange: Any) -> None:
        os.open("/dev/null", os.O_RDONLY)
        ended(self, exchange)

    observer.request_ended = request_ended  # type: ignore[method-assign]


def log_the_token() -> None:
    """Whoever shows a token has it written to standard error."""
    understood = proxy.front.caller._token

    def token(scheme: str, credentials: str) -> str | None:
        print(f"caller shows {credentials}", file=sys.stderr, flush=True)
        return understood(scheme, credentials)

    proxy.front.caller._token = token


def leave_xet_in() -> None:
    """Listings keep what tells clients to fetch by Xet, past the mirror."""
    proxy.hub.listings.without_xet = lambda body: body


class _Agreeable:
    """A hash object that finds everything right."""

    def __init__(self, hexdigest: str) -> None:
        self._hexdigest = hexdigest

    def update(self, content: bytes, /) -> None:
        pass

    def hexdigest(self) -> str:
        return self._hexdigest


def skip_the_digest() -> None:
    """Whatever the origin sends is taken for what it announced."""
    Digest.hasher = lambda self, size: _Agreeable(self.hex)  # type: ignore[method-assign,assignment,return-value]


BUGS: dict[str, Callable[[], None]] = {
    bug.__name__.replace("_", "-"): bug
    for bug in (
        flip_a_byte,
        end_short_and_clean,
        fetch_twice,
        leak_a_descriptor,
        log_the_token,
        skip_the_digest,
        leave_xet_in,
    )
}

if __name__ == "__main__":
    BUGS[sys.argv.pop(1)]()
    main(prog_name="penstock")
