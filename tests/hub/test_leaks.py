"""What leads a client away, and what only looks like it."""

from __future__ import annotations

import orjson
import pytest

from proxy.hub.leaks import Leak, LeakKind, leaks_of_body, leaks_of_fields

HOME = "http://mirror:8080"
AWAY = "https://cas-bridge.xethub.hf.co/xet/abc?X-Amz-Signature=secret"


def of_field(name: str, text: str, *, xet: bool = False) -> list[Leak]:
    return list(leaks_of_fields(((name, text),), HOME, xet=xet))


def of_json(value: object, *, media: str = "application/json; charset=utf-8", xet: bool = False) -> list[Leak]:
    return list(leaks_of_body(media, orjson.dumps(value), HOME, xet=xet))


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("Location", AWAY, LeakKind.REDIRECT),
        ("Location", "//huggingface.co/x", LeakKind.REDIRECT),
        ("Location", "https://mirror:8080/x", LeakKind.REDIRECT),
        ("Location", "http://mirror:8081/x", LeakKind.REDIRECT),
        ("Location", "http://mirror:8080@evil/x", LeakKind.REDIRECT),
        ("Link", '<https://huggingface.co/api?cursor=x>; rel="next"', LeakKind.ADDRESS),
        ("Link", '<http://mirror:8080/a>; rel="next", <https://x/y>; rel="xet-auth"', LeakKind.XET),
        ("X-Xet-Cas-Url", "https://cas-server.xethub.hf.co", LeakKind.XET),
        ("X-Xet-Hash", "ab" * 32, LeakKind.XET),
        ("WWW-Authenticate", 'Bearer realm="https://huggingface.co/v2/token"', LeakKind.ADDRESS),
    ],
)
def test_fields_that_lead_away(name: str, text: str, kind: LeakKind) -> None:
    (leak,) = of_field(name, text)
    assert leak.kind is kind
    assert "secret" not in leak.to, "an address is shown without its query"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Location", "/acme/tiny/resolve/abc/x"),
        ("Location", "http://mirror:8080/x"),
        ("Location", "http://MIRROR:8080/x"),
        ("Link", '<http://mirror:8080/api?cursor=x>; rel="next"'),
        ("WWW-Authenticate", 'Basic realm="Penstock"'),
        ("X-Error-Message", "see https://huggingface.co/docs"),
        ("Content-Disposition", 'inline; filename="https://x"'),
    ],
)
def test_fields_that_do_not(name: str, text: str) -> None:
    assert of_field(name, text) == []


def test_our_own_xet_is_no_leak_and_anothers_is() -> None:
    assert of_field("X-Xet-Hash", "ab" * 32, xet=True) == []
    assert of_field("X-Xet-Cas-Url", f"{HOME}/__xet", xet=True) == []
    assert of_field("X-Xet-Cas-Url", AWAY, xet=True)
    assert of_json([{"xetHash": "ab" * 32}], xet=True) == []
    assert of_json({"casUrl": f"{HOME}/__xet"}, xet=True) == []
    assert of_json({"casUrl": AWAY}, xet=True)


def test_members_that_lead_away() -> None:
    assert of_json([{"path": "a", "xetHash": "ab" * 32}]) == [Leak(LeakKind.XET, "xetHash", "")]
    batch = {"objects": [{"actions": {"download": {"href": AWAY}}}]}
    (leak,) = of_json(batch, media="application/vnd.git-lfs+json")
    assert leak == Leak(LeakKind.ADDRESS, "href", "https://cas-bridge.xethub.hf.co/xet/abc")


def test_what_authors_wrote_leads_nobody_anywhere() -> None:
    card = {"cardData": {"casUrl": AWAY, "xetHash": "x"}, "url": AWAY, "avatar": "https://huggingface.co/a.png"}
    assert of_json(card) == []
    assert of_json({"xetHash": AWAY}, media="text/plain") == []
