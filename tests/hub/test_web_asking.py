"""Questions about answers of generic origins: understood as they were asked, and in nobody's name."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.hub.peering import question_of
from proxy.hub.web_asking import AnswerQuestion
from proxy.hub.web_peering import CREDENTIALS, NoQuestion

WORDS = st.from_regex(r"[!-~]{1,40}", fullmatch=True)
FIELDS = st.lists(st.tuples(st.from_regex(r"x-[a-z]{1,9}", fullmatch=True), WORDS), max_size=3).map(tuple)
AGO = st.none() | st.floats(0, 1e6)
QUESTIONS = st.builds(
    AnswerQuestion, WORDS, WORDS.map(lambda word: f"/{word}"), FIELDS, st.booleans(), st.booleans(), WORDS, AGO
)
ONE = AnswerQuestion("http://data.example.org", "/a?b")


@given(QUESTIONS)
def test_a_question_arrives_as_it_was_asked(question: AnswerQuestion) -> None:
    assert question_of(question.encoded()) == question


@pytest.mark.parametrize(
    "wrong",
    [
        {"t": "no-path"},
        {"t": "/two\r\nHost: elsewhere"},
        {"h": [["x-a", "b\r\nc: d"]]},
        {"h": [["x-a"]]},
        {"e": None},
        {"v": "long ago"},
        *({"h": [[name, "secret"]]} for name in CREDENTIALS),
        {"h": [["Cookie", "secret"]]},
    ],
)
def test_what_could_not_be_asked_of_an_origin_is_no_question(wrong: dict[str, object]) -> None:
    with pytest.raises(NoQuestion):
        question_of(orjson.dumps(orjson.loads(ONE.encoded()) | wrong))
