"""Addresses that somebody else connects to on our behalf (hf_xet): looked at when they are handed over.

Our own connections ask about the very address they are about to be made to (`addresses`, `transport`). One that a
library makes does not ask us. What can be done is done: the name has to be one the operator listed (`redirects`), and
all its addresses public at that moment. It is no proof against a name that turns a second later.
"""

from __future__ import annotations

from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver
from yarl import URL

from proxy.core.errors import OriginLied, OriginUnreachable

from .addresses import is_public


async def vet(url: URL, resolver: AbstractResolver | None = None) -> None:
    """Raise OriginLied unless `url` leads to public addresses alone, OriginUnreachable when it leads nowhere.

    A name that goes through a proxy of the environment is the proxy's to resolve."""
    host = url.host or ""
    if not _is_literal(host) and _is_proxied(url):
        return
    if not all(map(is_public, await _addresses(url, host, resolver or ThreadedResolver()))):
        raise OriginLied(f"the origin sends us to {host}, which is not a public address")


async def _addresses(url: URL, host: str, resolver: AbstractResolver) -> list[str]:
    if _is_literal(host):
        return [host]
    try:
        return [one["host"] for one in await resolver.resolve(host, url.port or 0)]
    except OSError:
        raise OriginUnreachable(f"no address is known for {host}") from None


def _is_literal(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _is_proxied(url: URL) -> bool:
    proxies = getproxies_environment()
    return bool(proxies.get(url.scheme)) and not proxy_bypass_environment(f"{url.host}:{url.port}", proxies)
