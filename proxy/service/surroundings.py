"""What a node of a configuration needs from elsewhere (`penstock doctor`): every origin, the right time, Redis, and
certificates that have not run out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, assert_never

import aiohttp
from cryptography import x509
from redis.exceptions import RedisError

from proxy.cluster.client import make_client
from proxy.cluster.redis import WITHIN
from proxy.cluster.secret import redis_address
from proxy.config.origins import MountedOrigin, OriginSection, OriginSite
from proxy.config.redis_address import BehindSentinels, InCluster, OneServer, RedisAddress
from proxy.config.schema import Config
from proxy.core.clock import Clock
from proxy.core.errors import ConfigError

from .finding import Finding, Verdict

CLOCK_OFF: Final = 60.0
"""Seconds: signed addresses and requests between nodes are judged by the clock."""
ENDS_SOON: Final = timedelta(days=21)
"""A certificate with less left than that should have been renewed by whatever renews it."""
REDIS_WITHIN: Final = 3.0
"""Seconds that Redis has to answer the doctor; a node gives it less, and does without."""


async def surroundings(config: Config, clock: Clock) -> AsyncIterator[Finding]:
    """Everything that is not of this machine; the origins are asked at the same time."""
    for path, renewed in _certificates(config):
        yield await asyncio.to_thread(_certificate, path, renewed, clock)
    for found in await asyncio.gather(*(_origin(one, clock) for one in (config.origin, *config.mounted))):
        for finding in found:
            yield finding
    with suppress(ConfigError):  # an obstacle, told already
        if (address := redis_address(config.cluster)) is not None:
            yield await _redis(address, clock)


# --- certificates ---------------------------------------------------------------------------------------------------


def _certificates(config: Config) -> Iterator[tuple[Path, str]]:
    """Files of certificates, and what to do when there are new ones."""
    if config.server.tls_certificate is not None:
        yield config.server.tls_certificate, "renew it, and: penstock upgrade (or a restart)"
    with suppress(ConfigError):
        match redis_address(config.cluster):
            case OneServer(login=login) | BehindSentinels(login=login) | InCluster(login=login) if login.ca is not None:
                yield Path(login.ca), "get the new one from whoever runs Redis, and restart"


def _certificate(path: Path, renewed: str, clock: Clock) -> Finding:
    """The one of a chain that ends first."""
    about, now = f"certificate {path}", datetime.fromtimestamp(clock.wall(), UTC)
    try:
        chain = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        return Finding(about, Verdict.BAD, f"it cannot be read: {error}", f"openssl x509 -in {path} -noout -dates")
    first, begins = min(one.not_valid_after_utc for one in chain), max(one.not_valid_before_utc for one in chain)
    left = first - now
    if begins > now:
        return Finding(about, Verdict.BAD, f"it holds from {begins:%Y-%m-%d} only", "timedatectl; or another one")
    if left <= timedelta():
        return Finding(about, Verdict.BAD, f"it ran out on {first:%Y-%m-%d}: clients refuse it", renewed)
    if left < ENDS_SOON:
        return Finding(about, Verdict.POOR, f"it runs out in {left.days} days, on {first:%Y-%m-%d}", renewed)
    return Finding(about, Verdict.GOOD, f"valid until {first:%Y-%m-%d}")


# --- origins --------------------------------------------------------------------------------------------------------


async def _origin(site: OriginSite, clock: Clock) -> list[Finding]:
    """How an origin answers; the clock is compared with that of the one at the root."""
    about = f"origin {site.name}" if isinstance(site, MountedOrigin) else "origin"
    is_hub = isinstance(site, OriginSection) and site.kind == "hub"
    method, address = ("GET", f"{site.url}/api/models?limit=1") if is_hub else ("HEAD", site.url)
    timeout, began = aiohttp.ClientTimeout(total=site.connect_timeout + site.read_timeout), clock.monotonic()
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.request(method, address, allow_redirects=False) as answer,
        ):
            status, fields = answer.status, {name.lower(): text for name, text in answer.headers.items()}
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        says = f"{site.url} gives no answer: {str(error) or type(error).__name__}"
        return [Finding(about, Verdict.BAD, says, f"curl -sSI {site.url}      (DNS, proxy, firewall)")]
    took = clock.monotonic() - began
    how = f"in {took * 1000:.0f} ms {fields.get('ratelimit', '')}".rstrip()
    found = [Finding(about, *_answered(site.url, status, is_hub=is_hub, how=how))]
    if about == "origin" and "date" in fields:
        with suppress(ValueError, TypeError):
            found.append(_clock(abs(clock.wall() - parsedate_to_datetime(fields["date"]).timestamp())))
    return found


def _answered(url: str, status: int, *, is_hub: bool, how: str) -> tuple[Verdict, str, str]:
    if status == 429:
        fix = "set origin.token_file: it has more" if is_hub else "ask less at once: origin.connections_per_host"
        return Verdict.POOR, f"{url} asks us to slow down (429)", fix
    if status >= 500 or (is_hub and status >= 400):
        fix = "is origin.url a Hub?" if is_hub else f"curl -sSI {url}      (is that where it is?)"
        return Verdict.POOR, f"{url} answers with {status}", fix
    # The base of a generic origin need not be a page of it.
    return Verdict.GOOD, f"{url} answers {how}", ""


def _clock(off: float) -> Finding:
    if off > CLOCK_OFF:
        return Finding("clock", Verdict.BAD, f"{off:.0f} s off the origin's", "timedatectl set-ntp true")
    return Finding("clock", Verdict.GOOD, "as the origin's")


# --- Redis ----------------------------------------------------------------------------------------------------------


async def _redis(address: RedisAddress, clock: Clock) -> Finding:
    """Asked as a node would, with its password."""
    (host, port), began = _first_host(address), clock.monotonic()
    fix = f"redis-cli -h {host} -p {port} ping      (and cluster.redis, cluster.redis_password_file)"
    client = make_client(address)
    try:
        async with asyncio.timeout(REDIS_WITHIN):
            await client.execute_command("PING")
    except (RedisError, OSError, TimeoutError) as error:
        why = str(error) or "no answer"
        return Finding("redis", Verdict.BAD, f"{host}:{port}: {why}; the nodes work on, each alone", fix)
    finally:
        with suppress(RedisError, OSError, TimeoutError, RuntimeError):
            async with asyncio.timeout(WITHIN):
                await client.aclose()
    took = clock.monotonic() - began
    if took > WITHIN:
        says = f"{host}:{port} answers in {took * 1000:.0f} ms; a node waits {WITHIN * 1000:.0f}"
        return Finding("redis", Verdict.POOR, says, "put it nearer, or give it more of a processor")
    return Finding("redis", Verdict.GOOD, f"{host}:{port} answers in {took * 1000:.0f} ms")


def _first_host(address: RedisAddress) -> tuple[str, int]:
    match address:
        case OneServer(host):
            return host
        case BehindSentinels(sentinels):
            return sentinels[0]
        case InCluster(hosts):
            return hosts[0]
        case _:
            assert_never(address)
