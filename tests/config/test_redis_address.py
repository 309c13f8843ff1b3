"""Where Redis is: what is written is what is meant, and a mistake shows no password."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.redis_address import BehindSentinels, InCluster, Login, OneServer, RedisAddress, parse_redis_address
from proxy.core.secret import Secret


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("redis://cache", OneServer(("cache", 6379), 0, Login())),
        ("redis://cache:7000/3", OneServer(("cache", 7000), 3, Login())),
        ("redis://[::1]:7000", OneServer(("::1", 7000), 0, Login())),
        ("redis://:pw@cache", OneServer(("cache", 6379), 0, Login(password=Secret("pw")))),
        ("redis://me:p%40w%2f@cache", OneServer(("cache", 6379), 0, Login("me", Secret("p@w/")))),
        ("rediss://cache", OneServer(("cache", 6379), 0, Login(tls=True))),
        ("rediss://cache?ca=/etc/ca.pem", OneServer(("cache", 6379), 0, Login(tls=True, ca="/etc/ca.pem"))),
        (
            "redis+sentinel://a,b:1/fleet",
            BehindSentinels((("a", 26379), ("b", 1)), "fleet", 0, Login(), same_login=False),
        ),
        (
            "rediss+sentinel://u:p@a/fleet/2?sentinel_login=same",
            BehindSentinels((("a", 26379),), "fleet", 2, Login("u", Secret("p"), tls=True), same_login=True),
        ),
        ("redis+cluster://a,b:7001", InCluster((("a", 6379), ("b", 7001)), Login())),
    ],
)
def test_an_address_is_read(text: str, address: RedisAddress) -> None:
    assert parse_redis_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", "cache:6379", "http://cache", "redis+x://cache", "redis://", "redis://a,b", "redis://a:0", "redis://a:x"),
        *("redis://a/one", "redis://a/1/2", "redis://a/-1", "redis://a?db=1", "redis://a:99999"),
        *("redis+sentinel://a", "redis+sentinel://a/s/1/2", "redis+sentinel://a/s/x", "redis+cluster://a/1"),
        *("redis+cluster://", "redis+cluster://a,,b"),
    ],
)
def test_what_is_no_address_is_refused_without_showing_a_password(text: str) -> None:
    for spelled in (text, text.replace("://", "://user:sesame@", 1)):
        with pytest.raises(ValueError) as error:
            parse_redis_address(spelled)
        assert "sesame" not in str(error.value)


@given(st.text(max_size=60))
def test_no_text_is_more_than_refused(text: str) -> None:
    for scheme in ("redis", "redis+sentinel", "rediss+cluster"):
        try:
            found = parse_redis_address(f"{scheme}://{text}")
        except ValueError:
            continue
        assert isinstance(found, OneServer | BehindSentinels | InCluster)
