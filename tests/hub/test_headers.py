from __future__ import annotations

import pytest

from proxy.hub.headers import here, passed_back, strip_accept, without_xet

XET_LINK = '<https://x/api/xet>; rel="xet-auth"'
NEXT_LINK = '<https://x/api/models?p=2>; rel="next"'


def test_xet_fields_are_taken_out_and_the_rest_stays_in_order() -> None:
    fields = (("x-repo-commit", "c"), ("x-xet-hash", "h"), ("x-xet-refresh-route", "r"), ("etag", '"e"'))
    assert without_xet(fields) == (("x-repo-commit", "c"), ("etag", '"e"'))


def test_a_link_field_keeps_what_is_not_xet() -> None:
    assert without_xet((("link", f"{XET_LINK}, {NEXT_LINK}"),)) == (("link", NEXT_LINK),)
    assert without_xet((("link", XET_LINK),)) == ()


@pytest.mark.parametrize(
    "name",
    [
        "set-cookie",
        "etag",
        "content-length",
        "content-encoding",
        "transfer-encoding",
        "connection",
        "authorization",
        "x-xet-hash",
        "x-xet-access-token",
        "server",
        "anything-new",
    ],
)
def test_a_field_that_is_not_on_the_list_is_not_passed_back(name: str) -> None:
    assert passed_back([(name, "x"), ("content-type", "application/json")]) == (("content-type", "application/json"),)


@pytest.mark.parametrize("name", ["x-error-code", "x-error-message", "x-repo-commit", "x-total-count", "retry-after"])
def test_what_clients_decide_by_is_passed_back(name: str) -> None:
    assert passed_back([(name, "x")]) == ((name, "x"),)


def test_a_challenge_whose_realm_is_an_address_of_the_origin_s_is_not_passed_back() -> None:
    bare = ("www-authenticate", "Bearer")
    assert passed_back([bare, ("www-authenticate", 'Bearer realm="https://huggingface.co/token"')]) == (bare,)


@pytest.mark.parametrize(
    ("location", "where"),
    [
        ("/api/models/acme/tiny?blobs=1", "/api/models/acme/tiny?blobs=1"),
        ("https://huggingface.co/api/models/acme/tiny", "/api/models/acme/tiny"),
        ("/acme/tiny/resolve/main/x", "/acme/tiny/resolve/main/x"),
        ("https://cdn.example/repos/ab/cd?X-Amz-Signature=secret", None),
        ("/login", None),
        ("http://[::1", None),
        ("//", None),
        ("", None),
    ],
)
def test_a_redirect_leads_to_the_mirror_or_nowhere(location: str, where: str | None) -> None:
    assert here(location) == where
    assert passed_back([("location", location)]) == (() if where is None else (("location", where),))


@pytest.mark.parametrize(
    ("accept", "asked"),
    [
        ("*/*", "*/*"),
        ("application/vnd.xet-fileinfo+json, */*", "*/*"),
        ("application/json,Application/VND.xet-fileinfo+json;q=0.9, text/html", "application/json, text/html"),
        ("application/vnd.xet-fileinfo+json", "*/*"),
        ("", "*/*"),
    ],
)
def test_the_xet_description_of_a_file_is_not_asked_for(accept: str, asked: str) -> None:
    assert strip_accept(accept) == asked
