"""What the acts do to a request and to an answer, as functions of values; the acts in time are `delivery`'s."""

import secrets
from collections.abc import Callable, Iterable

from . import faults
from .messages import Answer, Asked, Headers, json_answer, redirect
from .site import UrlTerms

Acts = tuple[faults.Act, ...]


def asked_as(asked: Asked, acts: Acts) -> Asked:
    """The request the pages shall see."""
    if any(isinstance(act, faults.IgnoreRange) for act in acts):
        return asked.without_header("range")
    return asked


def url_terms(acts: Acts) -> UrlTerms:
    expiries = [act for act in acts if isinstance(act, faults.ExpireUrls)]
    return UrlTerms(expiries[-1].seconds, expiries[-1].uses) if expiries else UrlTerms()


def instead(asked: Asked, acts: Acts) -> Answer | None:
    """The answer that takes the place of the page's, if an act asks for one."""
    for act in acts:
        match act:
            case faults.Fail():
                return _failure(act)
            case faults.RateLimited():
                return _rate_limited(act)
            case faults.RedirectTo():
                return redirect(302, act.location.replace("{path}", asked.raw_path)).with_status(act.status)
            case _:
                continue
    return None


def answered_as(answer: Answer, acts: Iterable[faults.Act]) -> Answer:
    """The answer with its headers bent."""
    for act in acts:
        answer = _bent(answer, act)
    return answer


def _bent(answer: Answer, act: faults.Act) -> Answer:
    match act:
        case faults.ShiftContentRange():
            return _shifted(answer, act.by)
        case faults.WrongLength() if "content-length" in answer.headers:
            length = max(0, int(answer.headers["content-length"]) + act.by)
            return answer.with_headers({"content-length": str(length)}).with_body(answer.body.first(length))
        case faults.ChangeETag():
            return _retagged(answer, lambda digits: secrets.token_hex(32)[:digits])
        case faults.ChangeContent() if not act.keep_etag:
            return _retagged(answer, lambda digits: ("c0ffee" * 11)[:digits])
        case faults.SetHeaders():
            return _with_headers_set(answer, {name.lower(): value for name, value in act.headers.items()})
        case faults.Chunked():
            return answer.without_header("content-length")
        case faults.Gzip():
            return answer.without_header("content-length").with_headers({"content-encoding": "gzip"})
        case _:
            return answer


def _with_headers_set(answer: Answer, wanted: Headers) -> Answer:
    kept = {name: value for name, value in answer.headers.items() if name not in wanted}
    return Answer(answer.status, kept | {name: value for name, value in wanted.items() if value}, answer.body)


def _failure(act: faults.Fail) -> Answer:
    headers = {"x-error-message": act.message} | ({"x-error-code": act.code} if act.code else {})
    return json_answer({"error": act.message}, status=act.status, headers=headers)


def _rate_limited(act: faults.RateLimited) -> Answer:
    message = "We had to rate limit you. To continue using our service, create an account or wait."
    headers = {
        "ratelimit": f'"{act.policy}";r=0;t={act.seconds}',
        "ratelimit-policy": f'"fixed window";"{act.policy}";q=500;w=300',
        "x-error-message": message,
    }
    if act.retry_after:
        headers["retry-after"] = str(act.seconds)
    return json_answer({"error": message}, status=429, headers=headers)


def _shifted(answer: Answer, by: int) -> Answer:
    content_range = answer.headers.get("content-range", "")
    if "-" not in content_range:
        return answer
    part, _, size = content_range.removeprefix("bytes ").partition("/")
    first, _, last = part.partition("-")
    return answer.with_headers({"content-range": f"bytes {int(first) + by}-{int(last) + by}/{size}"})


def _retagged(answer: Answer, digits: Callable[[int], str]) -> Answer:
    tags = {name: answer.headers[name] for name in ("etag", "x-linked-etag") if name in answer.headers}
    return answer.with_headers({name: f'"{digits(len(tag) - 2)}"' for name, tag in tags.items()})
