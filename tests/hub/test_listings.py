from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.blob import BlobKey
from proxy.core.errors import OriginLied, RequestRefused
from proxy.hub.facts import FileFacts, OriginReply
from proxy.hub.listings import (
    MOST_PATHS,
    InfoFacts,
    PathsAsked,
    asks_expanded,
    kept,
    next_target,
    read_files,
    read_info,
    read_paths_asked,
    read_tip,
    with_xet,
    without_xet,
)
from proxy.hub.targets import Query

SHA1 = "0123456789abcdef0123456789abcdef01234567"
SHA256 = "ab" * 32
SMALL = {"type": "file", "oid": SHA1, "size": 7, "path": "config.json"}
LARGE = {
    "type": "file",
    "oid": SHA1,
    "size": 5_000_000_000,
    "path": "a/model.safetensors",
    "lfs": {"oid": SHA256, "size": 5_000_000_000, "pointerSize": 135},
    "xetHash": "cd" * 32,
}

# --- Xet ----------------------------------------------------------------------------------------------------------


def test_xet_hints_are_taken_out_wherever_they_are() -> None:
    info = {"sha": SHA1, "xetEnabled": True, "siblings": [{"rfilename": "x", "xetHash": "h", "lfs": {"xet": 1}}]}
    clean = orjson.loads(without_xet(orjson.dumps(info)))
    assert clean == {"sha": SHA1, "siblings": [{"rfilename": "x", "lfs": {}}]}


@pytest.mark.parametrize("name", ["casUrl", "refreshUrl", "reconstructionUrl"])
def test_an_address_of_the_xet_store_is_taken_out_whatever_it_is_told_with(name: str) -> None:
    assert orjson.loads(without_xet(orjson.dumps({name: "https://cas.example", "exp": 1}))) == {"exp": 1}


def test_the_authors_own_words_about_xet_stay() -> None:
    info = {"cardData": {"xetHash": "mine"}, "config": {"xet": 1}, "tags": ["xet", "xetHash"], "xetra": 1}
    assert orjson.loads(without_xet(orjson.dumps(info))) == info


def test_a_body_without_xet_stays_as_it_came_byte_for_byte() -> None:
    body = b'{ "a" : 1.0e2, "b":123456789012345678901234567890 }'
    assert without_xet(body) is body


def test_a_body_that_is_no_json_is_a_lie() -> None:
    with pytest.raises(OriginLied, match="JSON"):
        without_xet(b"<html>xet</html>")


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@given(_json)
def test_cleaning_changes_nothing_else(value: Any) -> None:
    with_hint = {"value": value, "xetHash": "h"}
    assert orjson.loads(without_xet(orjson.dumps(with_hint))) == {"value": value}


# --- what is kept -------------------------------------------------------------------------------------------------


def reply(body: bytes, *headers: tuple[str, str], status: int = 200) -> OriginReply:
    return OriginReply(status, headers, body)


def test_a_kept_answer_is_clean_in_body_and_fields() -> None:
    link = '<https://hub/api/models/a/b/tree/main?cursor=2>; rel="next", <https://hub/t>; rel="xet-auth"'
    fields = (("content-type", "application/json; charset=utf-8"), ("link", link), ("x-xet-hash", "h"), ("etag", "e"))
    listing = kept(reply(orjson.dumps([LARGE]), *fields), 5.0, immutable=True)
    assert b"xet" not in listing.body.lower()
    assert "xet" not in str(listing.headers)
    assert (listing.status, listing.stored_at, listing.immutable) == (200, 5.0, True)
    assert next_target(listing.headers) == "/api/models/a/b/tree/main?cursor=2"


def test_the_last_page_has_no_next_target() -> None:
    assert next_target((("content-type", "application/json"),)) is None


def test_what_is_no_json_is_passed_on_as_it_came() -> None:
    assert kept(reply(b"<xet>", ("content-type", "text/html")), 0.0).body == b"<xet>"


# --- files --------------------------------------------------------------------------------------------------------


def test_files_of_a_listing_have_the_facts_a_head_would_give() -> None:
    listing = orjson.dumps([SMALL, LARGE, {"type": "directory", "oid": SHA1, "size": 0, "path": "a"}])
    assert read_files(listing) == [
        ("config.json", FileFacts(SHA1, 7, linked=False, key=None)),
        ("a/model.safetensors", FileFacts(SHA256, 5_000_000_000, True, BlobKey.sha256(SHA256), xet="cd" * 32)),
    ]


def test_a_xet_hash_that_is_none_is_not_believed() -> None:
    ((_, facts),) = read_files(orjson.dumps([{**LARGE, "xetHash": "../x"}]))
    assert facts.xet is None


def test_hashes_are_put_back_where_they_belong() -> None:
    bare = without_xet(orjson.dumps([SMALL, LARGE]))
    both = {"a/model.safetensors": "cd" * 32, "config.json": "ef" * 32, "gone.bin": "ab" * 32}
    assert orjson.loads(with_xet(bare, both)) == [SMALL, LARGE]


def test_a_file_of_nothing_has_facts_too() -> None:
    empty = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    listed = [{**SMALL, "oid": empty, "size": 0}]
    assert read_files(orjson.dumps(listed)) == [("config.json", FileFacts(empty, 0, False, None))]


def test_a_file_of_nothing_with_the_digest_of_something_is_not_believed() -> None:
    assert read_files(orjson.dumps([{**SMALL, "size": 0}])) == []


@pytest.mark.parametrize(
    "change",
    [
        {"type": "symlink"},
        {"oid": None},
        {"oid": "main"},
        {"oid": SHA1.upper()},
        {"oid": SHA256},
        {"size": None},
        {"size": -1},
        {"size": 1.5},
        {"size": True},
        {"size": 10**18},
        {"size": "7"},
        {"path": None},
        {"path": ""},
        {"path": "/etc/passwd"},
        {"path": "../x"},
        {"path": "a//b"},
        {"path": "a\\b"},
        {"path": "a\0b"},
        {"path": "x" * 256},
        {"lfs": {}},
        {"lfs": []},
        {"lfs": {"oid": SHA1, "size": 7}},
        {"lfs": {"oid": SHA256, "size": -7}},
        {"xetHash": "cd" * 32},
    ],
)
def test_an_item_that_is_not_whole_is_left_out_alone(change: dict[str, object]) -> None:
    other = {**SMALL, "path": "other"}
    assert [path for path, _ in read_files(orjson.dumps([{**SMALL, **change}, "junk", None, other]))] == ["other"]


def test_names_with_escapes_in_them_are_names() -> None:
    assert [path for path, _ in read_files(orjson.dumps([{**SMALL, "path": "a/100% %2F#ü.txt"}]))] == [
        "a/100% %2F#ü.txt"
    ]


@pytest.mark.parametrize("body", [b"{}", b"null", b"", b"[", b"<html>"])
def test_what_is_no_list_of_files_is_a_lie(body: bytes) -> None:
    with pytest.raises(OriginLied):
        read_files(body)


@given(_json)
def test_any_list_is_read_without_another_error(value: Any) -> None:
    read_files(orjson.dumps([value, {**SMALL, "path": value}, {**SMALL, "lfs": value}, {**SMALL, "size": value}]))


# --- info ---------------------------------------------------------------------------------------------------------


def info(**members: object) -> InfoFacts:
    return read_info(orjson.dumps(members))


def test_info_tells_commit_and_state() -> None:
    public = info(sha=SHA1, private=False, gated=False, disabled=False)
    assert public == InfoFacts(SHA1, private=False, gated=False, disabled=False)
    assert public.is_public


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"private": False},
        {"gated": False},
        {"private": True, "gated": False},
        {"private": False, "gated": "auto"},
        {"private": False, "gated": "manual"},
        {"private": False, "gated": True},
        {"private": False, "gated": 0},
        {"private": 0, "gated": False},
        {"private": False, "gated": False, "disabled": True},
    ],
)
def test_a_repo_is_public_only_when_it_is_said_outright(members: dict[str, object]) -> None:
    assert not info(**members).is_public


@pytest.mark.parametrize("sha", [None, "main", SHA1.upper(), SHA1[:7], 5])
def test_a_commit_is_forty_digits(sha: object) -> None:
    assert info(sha=sha).commit is None


@pytest.mark.parametrize("body", [b"[]", b"", b"5", b"{"])
def test_info_that_is_no_object_is_a_lie(body: bytes) -> None:
    with pytest.raises(OriginLied):
        read_info(body)


# --- paths-info ---------------------------------------------------------------------------------------------------

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, b"paths=b&paths=a%2Fx+y&paths=b&expand=false"),
        (FORM, b"paths=a/x%20y&paths=b"),
        (FORM + "; charset=utf-8", b"expand=0&paths=b&paths=a/x%20y"),
        (None, b"paths=b&paths=a/x%20y&expand=False"),
        (JSON, b'{"paths":["b","a/x y"],"expand":false}'),
        (JSON + "; charset=utf-8", b'{"paths":["a/x y","b","b"]}'),
        (None, b' {"paths":["a/x y","b"]}'),
    ],
)
def test_both_encodings_ask_one_question(content_type: str | None, body: bytes) -> None:
    asked = read_paths_asked(content_type, body)
    assert asked == PathsAsked(("a/x y", "b"), expand=False)
    assert asked.body == b'{"paths":["a/x y","b"],"expand":false}'
    assert not asks_expanded(asked.body)


def test_one_path_may_stand_alone() -> None:
    assert read_paths_asked(JSON, b'{"paths":"a"}') == PathsAsked(("a",), expand=False)


@pytest.mark.parametrize("body", [b"paths=a&expand=true", b"paths=a&expand=1", b"paths=a&expand=True"])
def test_expand_is_part_of_the_question(body: bytes) -> None:
    asked = read_paths_asked(FORM, body)
    assert asked.expand
    assert asks_expanded(asked.body)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, b""),
        (JSON, b"[]"),
        (JSON, b"{"),
        (JSON, b"{}"),
        (JSON, b'{"paths":5}'),
        (JSON, b'{"paths":[5]}'),
        (JSON, b'{"paths":["a"],"expand":1}'),
        (JSON, b'{"paths":["a"],"depth":1}'),
        (FORM, b"paths=a&expand=maybe"),
        (FORM, b"paths=a&x=1"),
        (FORM, b"paths=%ff"),
        (FORM, b"\xff"),
        (FORM, b"paths=a&" * (MOST_PATHS + 3)),
        (JSON, b'{"paths":[' + b'"a",' * MOST_PATHS + b'"a"]}'),
    ],
)
def test_any_other_question_is_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(RequestRefused):
        read_paths_asked(content_type, body)


@given(st.sets(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=5), st.booleans())
def test_a_question_survives_its_body(paths: set[str], expand: bool) -> None:
    asked = PathsAsked(tuple(sorted(paths)), expand)
    assert read_paths_asked(JSON, asked.body) == asked
    form = urlencode([*(("paths", path) for path in paths), ("expand", str(expand).lower())]).encode()
    assert read_paths_asked(FORM, form) == asked


@pytest.mark.parametrize(
    ("query", "body", "tip"),
    [
        ((), [{"id": "a" * 40}, {"id": "b" * 40}], "a" * 40),
        ((("limit", "1"),), [{"id": "a" * 40}], "a" * 40),
        ((("p", "1"),), [{"id": "a" * 40}], None),
        ((), [{"id": "main"}], None),
        ((), [], None),
        ((), {"id": "a" * 40}, None),
    ],
)
def test_a_history_begins_with_what_its_revision_means(query: Query, body: object, tip: str | None) -> None:
    assert read_tip(query, orjson.dumps(body)) == tip


@pytest.mark.parametrize("depth", [300, 900, 1000])
def test_what_is_nested_beyond_all_measure_is_a_lie(depth: int) -> None:
    body = b'{"xetHash":1,"a":' + b"[" * depth + b"]" * depth + b"}"
    with pytest.raises(OriginLied):
        without_xet(body)
    with pytest.raises(OriginLied):
        with_xet(body, {})
