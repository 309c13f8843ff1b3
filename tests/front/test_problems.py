"""The table of errors: complete, and in the words that clients decide by."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest

from proxy.core import errors
from proxy.front import strictness
from proxy.front.problems import BASIC, TABLE, Side, body, problem
from proxy.hub.paths import UnknownTarget
from tests.front.fakes import COMMIT, FakeCoordinator, at_commit
from tests.front.node import serving


def _tree(root: type[errors.PenstockError]) -> Iterator[type[errors.PenstockError]]:
    yield root
    for kind in root.__subclasses__():
        yield from _tree(kind)


ROOMS = ("proxy.core.", "proxy.hub.", "proxy.fetch.", "proxy.front.")
"""Whose errors a request can meet. What the store or the service say of their own is said at the start, and it depends
on the other tests of a run whether it is known here at all."""

ALL = sorted(
    (kind for kind in set(_tree(errors.PenstockError)) if kind.__module__.startswith(ROOMS)),
    key=lambda k: k.__name__,
)


def _instance(kind: type[errors.PenstockError]) -> errors.PenstockError:
    match kind:
        case errors.ConfigError:
            return errors.ConfigError(["a mistake"])
        case errors.OriginRefused:
            return errors.OriginRefused(404, "Entry not found", code="EntryNotFound", commit=COMMIT)
        case errors.OriginBusy | errors.SlowDown:
            return kind("busy", 17)
    return kind("why it is so")


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_has_a_row_of_its_own(kind: type[errors.PenstockError]) -> None:
    assert kind in TABLE


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_row_makes_an_answer(kind: type[errors.PenstockError], side: Side) -> None:
    found = problem(_instance(kind), side)
    headers, content = body(found, side, "id-1")
    assert 400 <= found.status < 600
    assert content.decode().strip() if side is Side.GIT else orjson.loads(content)
    assert all("\n" not in text and "\r" not in text for _, text in headers)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_a_file_never_gets_a_5xx_that_another_try_may_mend(kind: type[errors.PenstockError]) -> None:
    """huggingface_hub gives up at once on a 5xx of a file, and tries again after a 429 (HUB-PROTOCOL §3)."""
    found = problem(_instance(kind), Side.FILES)
    lasting = {errors.ConfigError, errors.PenstockError, errors.XetNeeded, errors.OriginLied}
    lasting |= {errors.SourceChanged, errors.RangeMangled, errors.NotKept, errors.SpoolFull}
    if found.status >= 500:
        assert kind in lasting
    assert (found.status == 429) == (dict(found.headers).get("Retry-After") is not None)


def test_git_is_asked_for_the_credentials_it_has() -> None:
    """Git sends its token only after a 401 that asks for Basic credentials (HUB-PROTOCOL §5.1)."""
    asked = (("www-authenticate", 'Bearer realm="Hub"'),)
    found = problem(errors.OriginRefused(401, "who are you?", headers=asked), Side.GIT)
    headers, content = body(found, Side.GIT, "id-1")
    assert [text for name, text in headers if name.lower() == "www-authenticate"] == [BASIC]
    assert content == b"who are you?\n"


def test_a_stranger_s_error_is_a_500_without_a_word_about_it() -> None:
    found = problem(KeyError("hf_secret"), Side.API)
    assert found.status == 500
    assert "hf_secret" not in found.message


def test_wait_asked_by_the_origin_is_passed_on() -> None:
    assert dict(problem(errors.OriginBusy("wait", 17), Side.API).headers)["Retry-After"] == "17"


def test_bare_401_gets_the_code_that_clients_need() -> None:
    assert problem(errors.OriginRefused(401, "no"), Side.API).code == "RepoNotFound"


def test_bad_token_is_not_a_missing_repo() -> None:
    assert problem(errors.OriginRefused(401, "Invalid credentials in Authorization header"), Side.FILES).code is None


def test_status_that_is_no_refusal_is_a_502() -> None:
    assert problem(errors.OriginRefused(200, "odd"), Side.API).status == 502


def test_message_in_a_field_is_one_ascii_line() -> None:
    found = problem(errors.OriginRefused(403, "a\r\nX-Evil: 1\nü" + "x" * 900), Side.FILES)
    headers, _ = body(found, Side.FILES, "id")
    text = dict(headers)["X-Error-Message"]
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= 500


def test_elsewhere_it_is_problem_json() -> None:
    headers, content = body(problem(UnknownTarget("nothing here"), Side.ELSEWHERE), Side.ELSEWHERE, "abc")
    assert dict(headers)["Content-Type"] == "application/problem+json"
    assert orjson.loads(content) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "nothing here",
        "instance": "urn:request:abc",
    }


def test_refused_method_says_what_is_allowed() -> None:
    assert dict(problem(strictness.MethodRefused("no"), Side.FILES).headers)["Allow"] == "GET, HEAD"


async def test_missing_file_comes_with_code_and_commit(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator) as node:
        for method in ("GET", "HEAD"):
            answer = await node.ask(at_commit("none.bin"), method=method)
            assert answer.status == 404
            assert answer.headers["x-error-code"] == "EntryNotFound"
            assert answer.headers["x-error-message"] == "Entry not found"
            assert answer.headers["x-repo-commit"] == COMMIT
            assert answer.headers["x-request-id"]


async def test_bug_below_is_a_500_with_its_request_id_and_no_traceback(coordinator: FakeCoordinator) -> None:
    coordinator.refuse = ZeroDivisionError("secret detail")
    async with serving(coordinator) as node, node.client() as client:
        await client.send(at_commit("a.bin"), "X-Request-Id: find-me")
        answer = await client.answer()
        assert (answer.status, answer.headers["x-request-id"]) == (500, "find-me")
        assert b"secret detail" not in answer.body
        assert b"Traceback" not in answer.body
        await client.send("/-/livez")  # the connection goes on
        assert (await client.answer()).status == 200
        assert node.books.exchanges[0].failure == "ZeroDivisionError"


async def test_unknown_path_is_a_404(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator) as node:
        assert (await node.ask("/nothing")).status == 404
        assert (await node.ask("/-/metrics")).status == 404
