"""As whom the origin is asked for a file: with the mirror's own token as long as that is taken, else as who asks."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from proxy.core.caller import Caller
from proxy.core.errors import OriginBusy, OriginRefused

T = TypeVar("T")
log = logging.getLogger(__name__)


class Askers:
    """Of one reading. `lent` is the mirror's own token, for what anybody may read; None without one."""

    def __init__(self, caller: Caller, lent: Caller | None) -> None:
        self._caller = caller
        self._lent = lent

    @property
    def present(self) -> Caller:
        """As whom the origin is asked now."""
        return self._lent or self._caller

    async def asked(self, find: Callable[[Caller], Awaitable[T]]) -> T:
        """What `find` brings for the first who is not turned away. Raises what it raises for the last."""
        if self._lent is not None:
            try:
                return await find(self._lent)
            except (OriginRefused, OriginBusy) as error:
                # It may read less than everybody, or its rate limit is used up: go on as the one who asks.
                log.warning("the mirror's own token was turned away", extra={"error": type(error).__name__})
                self._lent = None
        return await find(self._caller)
