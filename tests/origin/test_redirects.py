"""A redirect leads home, to a listed host, or nowhere."""

from __future__ import annotations

import pytest
from yarl import URL

from proxy.config.origins import OriginSection
from proxy.core.errors import ConfigError, OriginLied
from proxy.origin.redirects import Abroad, Home, RedirectRules

HUB = URL("https://huggingface.co")
ASKED = URL("https://huggingface.co/acme/tiny/resolve/main/x")
RULES = RedirectRules(HUB, (".hf.co", "cdn.example", "store.example:8443", "10.1.2.3:9000"), allow_private=False)
PRESIGNED = "https://cas-bridge.xethub.hf.co/a%2Fb/c%20d?X-Amz-Signature=a%2Bb&x=%7E+1;filename=%22m%22"

HOME = [
    "/api/resolve-cache/models/acme/tiny/abc/x?etag=%22a%22",
    "https://huggingface.co/other/resolve/main/x",
    "https://HuggingFace.co:443/other",
    "https://huggingface.co./other",
    "y",
]
ABROAD = [
    (PRESIGNED, False),
    ("https://us.aws.cdn.hf.co/x", False),
    ("//eu.hf.co/x", False),
    ("https://cdn.example/x", False),
    ("https://CDN.example./x", False),
    ("https://store.example:8443/x", True),
    ("https://10.1.2.3:9000/x", True),
]
REFUSED = [
    "http://us.hf.co/x",
    "http://huggingface.co/x",
    "https://huggingface.co:8443/x",
    "https://us.hf.co:8443/x",
    "https://store.example/x",
    "https://10.1.2.3/x",
    "https://hf.co.evil.example/x",
    "https://evilhf.co/x",
    "https://hf.co/x",
    "https://evil.example/x",
    "//evil.example/x",
    "https://user@us.hf.co/x",
    "https://user:secret@us.hf.co/x",
    "https://us.hf.co@evil.example/x",
    "https://:@us.hf.co/x",
    "https://@us.hf.co/x",
    "https://evil.example\\@us.hf.co/x",
    "https:\\\\evil.example/x",
    "https://us.hf.co:99999/x",
    "https://us.hf.co:port/x",
    "https://us.hf.co:0/x",
    "ftp://us.hf.co/x",
    "file:///etc/passwd",
    "gopher://us.hf.co/x",
    "javascript:alert(1)",
    "data:text/plain,x",
    "https:///x",
    "https://us.hf%2eco/x",
    "https://us.hf.co\t/x",
    "https://us.hf.co/x y",
    "https://us.hf.co/\r\nX: y",
    "https://ünï.hf.co/x",
    "https://[::1]/x",
    "https://[fe80::1%25eth0]/x",
    "https://[::1/x",
    "https://127.0.0.1/x",
    "https://0x7f000001/x",
    "https://2130706433/x",
    "https://localhost/x",
    "",
    None,
    "/" + "x" * 20_000,
]  # fmt: skip


@pytest.mark.parametrize("location", HOME)
def test_the_origin_itself_is_home(location: str) -> None:
    assert isinstance(RULES.judge(ASKED, location), Home)


@pytest.mark.parametrize(("location", "vouched"), ABROAD)
def test_listed_hosts_are_abroad(location: str, vouched: bool) -> None:
    place = RULES.judge(ASKED, location)
    assert isinstance(place, Abroad)
    assert place.vouched is vouched


@pytest.mark.parametrize("location", REFUSED)
def test_everything_else_is_refused(location: str | None) -> None:
    with pytest.raises(OriginLied):
        RULES.judge(ASKED, location)


def test_a_presigned_address_is_kept_to_the_byte() -> None:
    assert str(RULES.judge(ASKED, PRESIGNED).url) == PRESIGNED


def test_a_refusal_says_the_host_and_nothing_of_the_query() -> None:
    with pytest.raises(OriginLied, match=r"evil\.example") as raised:
        RULES.judge(ASKED, "https://evil.example/x?X-Amz-Signature=s3cr3t")
    assert "s3cr3t" not in str(raised.value)


def test_an_origin_without_tls_may_redirect_without_it() -> None:
    rules = RedirectRules(URL("http://hub.local:8080"), ("cdn.local",), allow_private=False)
    assert isinstance(rules.judge(URL("http://hub.local:8080/x"), "http://cdn.local/y"), Abroad)


def test_private_networks_need_no_usual_ports_when_allowed() -> None:
    rules = RedirectRules(URL("http://127.0.0.1:1"), ("127.0.0.1",), allow_private=True)
    assert rules.judge(URL("http://127.0.0.1:1/x"), "http://127.0.0.1:2/y") == Abroad(
        URL("http://127.0.0.1:2/y"), False
    )


@pytest.mark.parametrize("entry", ["", ".", "host:port", "[::1"])
def test_an_unreadable_line_of_redirect_hosts_is_a_mistake(entry: str) -> None:
    with pytest.raises(ConfigError):
        RedirectRules.of(OriginSection.model_validate({"redirect_hosts": [entry]}))
