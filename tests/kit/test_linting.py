"""The linters see what is wrong with an answer."""

from __future__ import annotations

from email.utils import formatdate

from tests.kit.linting import Exchange, findings

NOW = 1_700_000_000.0
OURS = b"Cache-Control: max-age=60\r\nDate: %b\r\n" % formatdate(NOW, usegmt=True).encode()
HEAD = b"HTTP/1.1 200 OK\r\n" + OURS + b"Content-Type: text/plain; charset=utf-8\r\n"
RIGHT = HEAD + b"Content-Length: 5\r\n\r\nhello"


async def test_each_thing_that_is_wrong_is_a_complaint_and_what_is_right_is_none() -> None:
    answers = {
        "right": RIGHT,
        "cut": RIGHT[:-1],
        "two": RIGHT + RIGHT,
        "no HTTP": b"hello\r\n\r\n",
        "a field twice": HEAD + b'Content-Length: 5\r\nETag: "a"\r\nETag: "b"\r\n\r\nhello',
        "a directive that is none": RIGHT.replace(b"max-age=60", b"max-age=soon"),
        "no Location": b"HTTP/1.1 301 Moved\r\n" + OURS + b"Content-Length: 0\r\n\r\n",
    }
    exchanges = [Exchange(name, "GET", "/", {"User-Agent": "a"}, answer, NOW) for name, answer in answers.items()]
    found = (await findings(exchanges)).exchanges
    assert {name for name, notes in found.items() if not any(one.is_complaint for one in notes)} == {"right"}


async def test_no_body_is_expected_where_there_is_none() -> None:
    asked = {"User-Agent": "a", "If-None-Match": '"a"'}
    confirmed = b"HTTP/1.1 304 Not Modified\r\n" + OURS + b'ETag: "a"\r\n\r\n'
    exchanges = [
        Exchange("of a HEAD", "HEAD", "/", {"User-Agent": "a"}, RIGHT.removesuffix(b"hello"), NOW),
        Exchange("confirmed", "GET", "/", asked, confirmed, NOW),
    ]
    found = (await findings(exchanges)).exchanges
    assert [one for notes in found.values() for one in notes if one.is_complaint] == []
