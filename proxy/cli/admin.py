"""Asking a running node on its admin port."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

import click

from proxy.config.schema import Address
from proxy.core.clock import SystemClock
from proxy.core.errors import ConfigError
from proxy.core.secret import Secret
from proxy.service.admission import admin_token

from .codes import Exit
from .configured import configuration_or_exit
from .flags import file_flag, json_flag
from .talk import fail

WITHIN: Final = 5.0
"""Seconds of silence after which the node counts as not answering."""
LONG: Final = 65.0
"""The same for what it has to look up first."""

_EXITS: Final = {400: Exit.USAGE, 404: Exit.NOT_FOUND, 409: Exit.CONFLICT, 503: Exit.UNHEALTHY}


_AGAIN: Final = 0.3
"""Seconds between two tries."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """The node says no, with that status."""

    status: int
    why: str


@dataclass(frozen=True, slots=True)
class _Silence:
    """No node answers."""

    why: str


@dataclass(frozen=True, slots=True)
class Asked:
    """The admin port of a node, and the token it wants to see."""

    address: Address
    token: Secret | None

    @property
    def fields(self) -> dict[str, str]:
        shown = {} if self.token is None else {"Authorization": f"Bearer {self.token.reveal()}"}
        return {"Content-Type": "application/json", **shown}


F = TypeVar("F", bound=Callable[..., Any])


def node_flags(command: F) -> F:
    """Give `command` --config, --admin and --json."""
    command = json_flag(command)
    command = click.option("--admin", metavar="HOST:PORT", help="The node's admin port. [default: server.admin]")(
        command
    )
    return file_flag(command)


def with_query(path: str, **fields: Any) -> str:
    """`path` with those of `fields` that say something; tuples are repeated."""
    said = {name: value for name, value in fields.items() if value not in (None, (), "")}
    return f"{path}?{urlencode(said, doseq=True)}" if said else path


def node_asked(config_file: Path | None, given: str | None) -> Asked:
    """The node of this configuration: `--admin`, or `server.admin` of file and environment; with `admin.token_file`.

    Ends the command when that is wrong."""
    config = configuration_or_exit(config_file, {})
    try:
        found = config.server.admin if given is None else Address.parse(given)
        token = None if config.admin.token_file is None else admin_token(config.admin.token_file)
    except (ValueError, ConfigError) as error:
        fail(Exit.USAGE, "the node cannot be asked", [str(error)])
    # A node that listens everywhere is asked here.
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    return Asked(Address(host=here.get(found.host, found.host), port=found.port), token)


def ask(
    asked: Asked,
    method: str,
    path: str,
    body: dict[str, Any] | None = None,
    *,
    then: Sequence[str] = (),
    within: float = WITHIN,
) -> Any:
    """The node's answer. Ends the command when there is none, or it is a refusal; `then` are the commands to try next
    after a refusal."""
    return _or_exit(asked, _answer(asked, method, path, body, within), then)


def _or_exit(asked: Asked, found: Any, then: Sequence[str]) -> Any:
    match found:
        case _Refusal(401):
            _fail_for_token(asked)
        case _Refusal(status, why):
            fail(_EXITS.get(status, Exit.FAILURE), f"the node at {asked.address} says no: {why}", then=then)
        case _Silence(why):
            fail(
                Exit.UNHEALTHY,
                f"no node answers at {asked.address}: {why}",
                ["this is the admin port, server.admin; name another with --admin HOST:PORT"],
                then=[f"curl -sS http://{asked.address}/-/readyz"],
            )
    return found


def _fail_for_token(asked: Asked) -> NoReturn:
    if asked.token is None:
        what = f"the node at {asked.address} wants a token, and there is none in this configuration"
    else:
        what = f"the node at {asked.address} does not take the token that is in admin.token_file here"
    why = ["the node reads its own from the file that its setting admin.token_file names; give the same one here"]
    then = ["PENSTOCK_ADMIN__TOKEN_FILE=/path/to/the/token penstock ...", "penstock config show --origin"]
    fail(Exit.FAILURE, what, why, then=then)


def refusal_of(asked: Asked, path: str) -> int | None:
    """The status that the node refuses a GET with; None when it answers, or does not."""
    found = _answer(asked, "GET", path, None, WITHIN)
    return found.status if isinstance(found, _Refusal) else None


def known_of(asked: Asked, path: str) -> Any:
    """The node's answer to a GET; None when no node answers, or says no."""
    found = _answer(asked, "GET", path, None, WITHIN)
    return None if isinstance(found, _Refusal | _Silence) else found


def ask_perhaps(asked: Asked, path: str) -> Any:
    """As `ask` for a GET; None when the node has no such thing."""
    found = _answer(asked, "GET", path, None, WITHIN)
    return None if isinstance(found, _Refusal) and found.status == 404 else _or_exit(asked, found, ())


def ask_patiently(asked: Asked, path: str, patience: float, *, then: Sequence[str] = ()) -> Any:
    """As `ask` for a GET; while the node starts again, or a worker of it, it has `patience` seconds to answer."""
    clock = SystemClock()
    until = clock.monotonic() + patience
    while _may_pass(found := _answer(asked, "GET", path, None, WITHIN)) and clock.monotonic() < until:
        time.sleep(_AGAIN)
    return _or_exit(asked, found, then)


def _may_pass(found: Any) -> bool:
    """Whether it is what a node says, or does not say, while it starts."""
    return isinstance(found, _Silence) or (isinstance(found, _Refusal) and found.status == 503)


def _answer(asked: Asked, method: str, path: str, body: dict[str, Any] | None, within: float) -> Any:
    address = asked.address
    content = json.dumps(body or {}).encode() if method in ("POST", "PUT") else None
    request = Request(f"http://{address}{path}", content, asked.fields, method=method)
    try:
        with _opener().open(request, timeout=within) as answer:
            return json.load(answer)
    except HTTPError as error:
        return _Refusal(error.code, _why(error))
    except (URLError, OSError, HTTPException, ValueError) as error:
        return _Silence(_reason(error))


def _reason(error: Exception) -> str:
    reason = error.reason if isinstance(error, URLError) else error
    return (reason.strerror if isinstance(reason, OSError) else None) or str(reason)


def _opener() -> OpenerDirector:
    # A proxy of the environment is for the world outside.
    return build_opener(ProxyHandler({}), _NoRedirects())


class _NoRedirects(HTTPRedirectHandler):
    """The token is for the one who was named."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _why(error: HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError, OSError):
        return f"{error.code} {error.reason}"
