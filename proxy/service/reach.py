"""A first look at the origin, for the person at the terminal: away is worth a word, and no reason not to start."""

from __future__ import annotations

import asyncio
import logging
from typing import Final
from urllib.parse import urlsplit

log: Final = logging.getLogger(__name__)


async def warn_if_unreachable(url: str, timeout: float) -> None:
    """Log a warning when no TCP connection to the host of `url` comes about within `timeout` seconds."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except (OSError, TimeoutError) as error:
        why = "no answer" if isinstance(error, TimeoutError) else str(error)
        log.warning("the origin is out of reach; what is cached is served", extra={"origin": url, "why": why})
        return
    writer.close()
