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
from proxy.core.caller import ANONYMOUS, Caller
from proxy.core.clock import Clock
from proxy.core.errors import ConfigError, OriginLied
from proxy.origin.budget import allowance, reserve, retry_after
from proxy.origin.credentials import home_fields, own_token
from proxy.origin.head import Head

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
    """How an origin answers the mirror, and what it lets it ask still; the clock is compared with that of the one at
    the root."""
    about = f"origin {site.name}" if isinstance(site, MountedOrigin) else "origin"
    try:
        caller = _asking(site)
    except ConfigError:  # an obstacle, told already
        return []
    method, address = ("GET", f"{site.url}/api/models?limit=1") if _is_hub(site) else ("HEAD", site.url)
    timeout, began = aiohttp.ClientTimeout(total=site.connect_timeout + site.read_timeout), clock.monotonic()
    fields = {**dict(home_fields(caller)), "Accept-Encoding": "identity"}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            # Asked with the mirror's token, and so never sent on to anybody else.
            session.request(method, address, headers=fields, allow_redirects=False) as answer,
        ):
            head = Head.of(answer.status, answer.headers.items())
    except (aiohttp.ClientError, TimeoutError, OSError, OriginLied) as error:
        says = f"{site.url} gives no answer: {str(error) or type(error).__name__}"
        return [Finding(about, Verdict.BAD, says, f"curl -sSI {site.url}      (DNS, proxy, firewall)")]
    how = f"in {(clock.monotonic() - began) * 1000:.0f} ms"
    found = [Finding(about, *_answered(site, head.status, caller, how))]
    if (budget := _budget(head, caller, clock)) is not None:
        found.append(Finding(f"{about} budget", *budget))
    if about == "origin" and (date := head.first("date")) is not None:
        with suppress(ValueError, TypeError):
            found.append(_clock(abs(clock.wall() - parsedate_to_datetime(date).timestamp())))
    return found


def _is_hub(site: OriginSite) -> bool:
    return isinstance(site, OriginSection) and site.kind == "hub"


def _asking(site: OriginSite) -> Caller:
    """As whom the node asks it of its own accord: a generic origin is shown no token. Raises ConfigError."""
    file = site.token_file if isinstance(site, OriginSection) and _is_hub(site) else None
    return ANONYMOUS if file is None else own_token(file)


def _answered(site: OriginSite, status: int, caller: Caller, how: str) -> tuple[Verdict, str, str]:
    url = site.url
    if _is_hub(site) and status in (401, 403):
        if caller.is_anonymous:
            says = f"{url} shows nothing without a token ({status}): clients have to send their own"
            return Verdict.POOR, says, "export HF_TOKEN=... where clients run; for the mirror itself: origin.token_file"
        says = f"{url} does not take the token of origin.token_file ({status})"
        return Verdict.BAD, says, "put one into it that is valid: the Hub's settings, Access Tokens (read); restart"
    if status >= 500:
        return Verdict.POOR, f"{url} answers with {status}", f"curl -sSI {url}      (is it well? penstock serves on)"
    if status >= 400 and status != 429 and _is_hub(site):
        fix = f"curl -sS '{url}/api/models?limit=1'      (is that a Hub? if not: origin.kind = http)"
        return Verdict.POOR, f"{url} answers with {status}, as no Hub does", fix
    as_whom = "" if caller.is_anonymous else ", the mirror's token shown"
    # The base of a generic origin need not be a page of it.
    return Verdict.GOOD, f"{url} answers {how}{as_whom}", ""


def _budget(head: Head, caller: Caller, clock: Clock) -> tuple[Verdict, str, str] | None:
    """What is to be said of the requests that are left; None where the origin says nothing of it."""
    said = allowance(head)
    left = 0 if head.status == 429 else said.remaining
    if left is None:
        return None
    whose = "the anonymous of this address have" if caller.is_anonymous else "the mirror's token has"
    again = retry_after(head, clock.wall())
    when = "" if again is None else f", for {again} s"
    more = (
        "set origin.token_file (a token has more), or have clients send theirs"
        if caller.is_anonymous
        else "penstock top      (who asks so much?); freshness.ref_ttl asks less, a larger plan of the Hub allows more"
    )
    if left <= 0:
        return Verdict.BAD, f"{whose} no requests left{when}: what is not kept is refused with 429", more
    if left <= (kept_back := reserve(head)):
        says = f"{whose} {left} requests left{when}: the last {kept_back} are for what cannot wait"
        return Verdict.POOR, says, more
    return Verdict.GOOD, f"{whose} {left} requests left{when}", ""


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
