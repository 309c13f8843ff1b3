"""The Redis client of an address: no retries, no timeouts of its own (the line has one), no greetings.

redis-py's own settings would wait five seconds, eleven times. A call that is cancelled closes its connection, so an
answer that comes late is nobody else's.
"""

from __future__ import annotations

from typing import Any, Final, assert_never

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from proxy.config.redis_address import BehindSentinels, InCluster, Login, OneServer, RedisAddress

Client = Redis | RedisCluster

CONNECTIONS: Final = 40
"""Open at once per worker: more than the line lets in (`redis.CALLS`), for one that hints come in by."""
SENTINEL_TIMEOUT: Final = 0.08
"""Seconds that one Sentinel may take, so that the third is still asked within the time of a call."""


def make_client(address: RedisAddress) -> Client:
    """A client that has not connected yet."""
    match address:
        case OneServer((host, port), database, login):
            return Redis(host=host, port=port, db=database, **_common(login))
        case BehindSentinels(sentinels, service, database, login, same_login):
            asking = _common(login if same_login else Login(tls=login.tls, ca=login.ca))
            asking |= {"socket_timeout": SENTINEL_TIMEOUT, "socket_connect_timeout": SENTINEL_TIMEOUT}
            known: Any = Sentinel(list(sentinels), sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
            primary: Redis = known.master_for(service, db=database, **_common(login))
            return primary
        case InCluster(hosts, login):
            nodes = [ClusterNode(host, port) for host, port in hosts]
            # slots without a server concern the keys in them alone
            return RedisCluster(startup_nodes=nodes, require_full_coverage=False, **_common(login))
        case _:
            assert_never(address)


def _common(login: Login) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "username": login.username,
        "password": None if login.password is None else login.password.reveal(),
        "socket_timeout": None,
        "socket_connect_timeout": None,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": CONNECTIONS,
        # The old protocol: no greeting to wait for, and the same from every server and proxy.
        "protocol": 2,
        "driver_info": None,
    }
    if login.tls:
        settings |= {"ssl": True, "ssl_ca_certs": login.ca, "ssl_check_hostname": True}
    return settings
