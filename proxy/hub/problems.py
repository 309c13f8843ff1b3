"""The Hub's refusals (HUB-PROTOCOL §3), read: status, X-Error-Code, X-Error-Message, JSON `error`.

Clients decide by X-Error-Code. Where the Hub leaves it out, its words tell which it would have been; where they do not,
none is made up here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from http import HTTPStatus
from typing import Any, Final

import orjson

from proxy.core.errors import OriginRefused


class Code(Enum):
    """What X-Error-Code may say."""

    REPO = "RepoNotFound"
    REVISION = "RevisionNotFound"
    ENTRY = "EntryNotFound"
    GATED = "GatedRepo"


INVALID_CREDENTIALS: Final = "Invalid credentials in Authorization header"
"""A bad token. Clients know it by these words and the absence of a code, and must not be told the repo is missing."""

_LONGEST_MESSAGE: Final = 1000
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_CODE: Final = re.compile(r"[A-Za-z0-9]{1,64}", re.ASCII)
_PASSED_BACK: Final = frozenset({"www-authenticate", "content-range", "x-hf-warning"})
# INVALID_CREDENTIALS, and "Access to this resource is disabled." of a repo that was taken down, must stay without a
# code: no pattern may match them.
_WORDS: Final = (
    (re.compile(r"^Invalid rev id|^Revision .*not found", re.IGNORECASE), Code.REVISION),
    (re.compile(r"^(Entry|File) (.* )?not found|does not exist on", re.IGNORECASE), Code.ENTRY),
    (re.compile(r"^Repository (.* )?not found|^Invalid username or password", re.IGNORECASE), Code.REPO),
    (re.compile(r"^Access to .* is restricted|gated repo", re.IGNORECASE), Code.GATED),
)


def refusal_of(status: int, headers: Iterable[tuple[str, str]], body: bytes) -> OriginRefused:
    """The refusal in an answer with a 4xx `status` (names lower-case). `body` may be cut, or empty (HEAD)."""
    fields = dict(headers)
    message = _message(fields.get("x-error-message"), body) or _phrase(status)
    commit = fields.get("x-repo-commit", "")
    return OriginRefused(
        status,
        message,
        code=_code(status, fields.get("x-error-code", ""), message),
        commit=commit if _COMMIT.fullmatch(commit) else None,
        headers=tuple(
            # a realm that is an address (the registry's) is the origin's own: clients would take their token there
            (name, value)
            for name, value in sorted(fields.items())
            if name in _PASSED_BACK and "//" not in value
        ),
    )


def _code(status: int, said: str, message: str) -> str | None:
    if _CODE.fullmatch(said):
        return said
    if status not in (401, 403, 404):
        return None
    return next((code.value for words, code in _WORDS if words.search(message)), None)


def _message(said: str | None, body: bytes) -> str:
    """One line, at most 1000 characters."""
    text = said or _json_error(body)
    return _CONTROL.sub(" ", text).strip()[:_LONGEST_MESSAGE]


def _json_error(body: bytes) -> str:
    try:
        answer: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    error = answer.get("error") if isinstance(answer, dict) else None
    return error if isinstance(error, str) else ""


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"the origin answered with status {status}"
