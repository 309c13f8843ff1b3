from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.conditional import (
    Conditions,
    EntityTag,
    NotModified,
    PreconditionFailed,
    Proceed,
    Validators,
    format_date,
    judge,
    parse_date,
    parse_etag,
)

FILE = Validators(frozenset({"abc", "other"}), modified=784111777)
UNDATED = Validators(frozenset({"abc"}))
THEN = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"
WHOLE = Proceed(range_holds=False)
RANGED = Proceed(range_holds=True)


def judged(method: str = "GET", file: Validators = FILE, **fields: str) -> object:
    return judge(Conditions(**fields), file, method)


def test_no_condition_proceeds_with_the_range() -> None:
    assert judged() == RANGED


def test_head_never_honours_a_range() -> None:
    assert judged("HEAD") == WHOLE
    assert judged("HEAD", if_range='"abc"') == WHOLE


def test_other_methods_are_not_judged_here() -> None:
    with pytest.raises(AssertionError):
        judged("PUT")


@pytest.mark.parametrize("field", ["*", '"abc"', '"x", "abc"', '"x","other"', ' , "abc",,', '"abc" garbage'])
def test_if_match_that_names_the_file_proceeds(field: str) -> None:
    assert judged(if_match=field) == RANGED


@pytest.mark.parametrize("field", ['"x"', 'W/"abc"', "abc", "", "garbage", '"ABC"', '"x" garbage "abc"', '"abc'])
def test_if_match_that_does_not_name_the_file_fails(field: str) -> None:
    assert judged(if_match=field) == PreconditionFailed()


@pytest.mark.parametrize("field", ["*", '"abc"', 'W/"abc"', '"x", W/"other"', '"x" , "abc"'])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_if_none_match_that_names_the_file_is_not_modified(field: str, method: str) -> None:
    assert judged(method, if_none_match=field) == NotModified()


@pytest.mark.parametrize("field", ['"x"', "abc", "", 'w/"abc"', '"abc'])
def test_if_none_match_that_does_not_name_the_file_proceeds(field: str) -> None:
    assert judged(if_none_match=field) == RANGED


@pytest.mark.parametrize(("date", "answer"), [(BEFORE, RANGED), (THEN, NotModified()), (AFTER, NotModified())])
def test_if_modified_since_compares_dates(date: str, answer: object) -> None:
    assert judged(if_modified_since=date) == answer


@pytest.mark.parametrize(("date", "answer"), [(BEFORE, PreconditionFailed()), (THEN, RANGED), (AFTER, RANGED)])
def test_if_unmodified_since_compares_dates(date: str, answer: object) -> None:
    assert judged(if_unmodified_since=date) == answer


@pytest.mark.parametrize("date", ["yesterday", "", "784111777", "Sun, 31 Nov 1994 08:49:37 GMT"])
def test_a_date_that_is_none_is_not_a_condition(date: str) -> None:
    assert judged(if_modified_since=date) == RANGED
    assert judged(if_unmodified_since=date) == RANGED


def test_dates_are_no_condition_on_a_file_without_one() -> None:
    assert judged(file=UNDATED, if_modified_since=AFTER) == RANGED
    assert judged(file=UNDATED, if_unmodified_since=BEFORE) == RANGED


@pytest.mark.parametrize("field", ['"abc"', ' "other" ', THEN])
def test_if_range_that_is_exactly_the_file_honours_the_range(field: str) -> None:
    assert judged(if_range=field) == RANGED


@pytest.mark.parametrize("field", ['"x"', 'W/"abc"', "abc", "", "*", BEFORE, AFTER, '"abc", "other"', "garbage"])
def test_if_range_that_is_not_exactly_the_file_gives_the_whole_file(field: str) -> None:
    assert judged(if_range=field) == WHOLE


def test_if_range_with_a_date_on_a_file_without_one_gives_the_whole_file() -> None:
    assert judged(file=UNDATED, if_range=THEN) == WHOLE


def test_if_match_is_judged_before_if_none_match() -> None:
    assert judged(if_match='"x"', if_none_match='"abc"') == PreconditionFailed()


def test_if_match_makes_if_unmodified_since_void() -> None:
    assert judged(if_match='"abc"', if_unmodified_since=BEFORE) == RANGED


def test_if_none_match_makes_if_modified_since_void() -> None:
    assert judged(if_none_match='"x"', if_modified_since=AFTER) == RANGED


def test_failed_precondition_is_judged_before_not_modified() -> None:
    assert judged(if_unmodified_since=BEFORE, if_none_match='"abc"') == PreconditionFailed()


def test_not_modified_is_judged_before_if_range() -> None:
    assert judged(if_none_match='"abc"', if_range='"x"') == NotModified()


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ('"abc"', EntityTag("abc")),
        ('W/"abc"', EntityTag("abc", weak=True)),
        ('""', EntityTag("")),
        ('  "a,b" ', EntityTag("a,b")),
        ("abc", None),
        ('"a"b"', None),
        ('"a b"', None),
        ('w/"a"', None),
        ('"a"\n', None),
        ("", None),
    ],
)
def test_etag_is_quoted_or_nothing(text: str, tag: EntityTag | None) -> None:
    assert parse_etag(text) == tag


_opaque = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"'), max_size=8)
_tags = st.builds(EntityTag, _opaque, st.booleans())


@given(_tags)
def test_etag_survives_its_field(tag: EntityTag) -> None:
    assert parse_etag(str(tag)) == tag


@given(st.lists(_tags, max_size=5), st.frozensets(_opaque, min_size=1, max_size=3))
def test_lists_are_compared_as_sets_of_tags(tags: list[EntityTag], etags: frozenset[str]) -> None:
    field = ", ".join(map(str, tags))
    file = Validators(etags)
    strong = any(not tag.weak and tag.opaque in etags for tag in tags)
    weak = any(tag.opaque in etags for tag in tags)
    assert judged(file=file, if_match=field) == (RANGED if strong else PreconditionFailed())
    assert judged(file=file, if_none_match=field) == (NotModified() if weak else RANGED)


@given(st.integers(0, 253402300799))
def test_date_survives_its_field(seconds: int) -> None:
    assert parse_date(format_date(seconds)) == seconds


_fields = st.one_of(
    st.none(), st.sampled_from(["*", '"abc"', 'W/"abc"', '"x"', THEN, BEFORE, AFTER]), st.text(max_size=12)
)


@given(st.fixed_dictionaries(dict.fromkeys(Conditions.__dataclass_fields__, _fields)))
def test_any_fields_get_a_judgement_in_the_order_of_the_rfc(fields: dict[str, str | None]) -> None:
    answer = judge(Conditions(**fields), FILE, "GET")
    alone = {name: judge(Conditions(**{name: field}), FILE, "GET") for name, field in fields.items()}
    guard = "if_match" if fields["if_match"] is not None else "if_unmodified_since"
    freshness = "if_none_match" if fields["if_none_match"] is not None else "if_modified_since"
    if alone[guard] == PreconditionFailed():
        assert answer == PreconditionFailed()
    elif alone[freshness] == NotModified():
        assert answer == NotModified()
    else:
        assert answer == alone["if_range"]
