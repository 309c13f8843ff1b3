"""Questions about generic origins: what is asked is what is understood, and nothing of who asks is in them."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.hub.peering import question_of
from proxy.hub.web_peering import CREDENTIALS, NoQuestion, WebQuestion

WORDS = st.from_regex(r"[!-~]{1,40}", fullmatch=True)
TARGETS = WORDS.map(lambda word: f"/{word}")
TAGS = st.from_regex(r"[!#-~]{1,60}", fullmatch=True)
FIELDS = st.lists(st.tuples(st.from_regex(r"x-[a-z]{1,9}", fullmatch=True), WORDS), max_size=3).map(tuple)
QUESTIONS = st.builds(
    WebQuestion, WORDS, TARGETS, TAGS, st.integers(0, 1 << 44), FIELDS, st.booleans(), st.text(max_size=60)
)
ONE = WebQuestion("http://data.example.org", "/a?b", "v1", 9_000_000)


@given(QUESTIONS)
def test_a_question_arrives_as_it_was_asked(question: WebQuestion) -> None:
    assert question_of(question.encoded()) == question


@given(QUESTIONS, QUESTIONS)
def test_two_representations_have_one_name_only_if_they_are_the_same(one: WebQuestion, other: WebQuestion) -> None:
    places = [(asked.origin, asked.target, asked.validator, asked.size) for asked in (one, other)]
    assert (one.name == other.name) == (places[0] == places[1])


@pytest.mark.parametrize(
    "wrong",
    [
        {"t": "no-path"},
        {"t": "/two\r\nHost: elsewhere"},
        {"t": "/a blank"},
        {"v": ""},
        {"v": 'half"quoted'},
        {"n": -1},
        {"n": "9"},
        {"h": [["x-a", "b\r\nc: d"]]},
        {"h": [["x-a"]]},
        *({"h": [[name, "secret"]]} for name in CREDENTIALS),
        {"h": [["Authorization", "secret"]]},
    ],
)
def test_what_could_not_be_asked_of_an_origin_is_no_question(wrong: dict[str, object]) -> None:
    said = orjson.loads(ONE.encoded()) | wrong
    with pytest.raises(NoQuestion):
        question_of(orjson.dumps(said))
