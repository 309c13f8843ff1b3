"""Asking a running node on its admin port."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from proxy.config.schema import Address
from proxy.core.errors import ConfigError
from proxy.core.secret import Secret
from proxy.service.admission import admin_token

from .codes import Exit
from .serve import configuration_or_exit
from .talk import fail

WITHIN: Final = 5.0
"""Seconds of silence after which the node counts as not answering."""


_EXITS: Final = {400: Exit.USAGE, 404: Exit.NOT_FOUND, 409: Exit.CONFLICT, 503: Exit.UNHEALTHY}


@dataclass(frozen=True, slots=True)
class Asked:
    """The admin port of a node, and the token it wants to see."""

    address: Address
    token: Secret | None

    @property
    def fields(self) -> dict[str, str]:
        shown = {} if self.token is None else {"Authorization": f"Bearer {self.token.reveal()}"}
        return {"Content-Type": "application/json", **shown}


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


def ask(asked: Asked, method: str, path: str) -> Any:
    """The node's answer. Ends the command when there is none, or it is a refusal."""
    address, body = asked.address, b"{}" if method == "POST" else None
    request = Request(f"http://{address}{path}", body, asked.fields, method=method)
    try:
        with _opener().open(request, timeout=WITHIN) as answer:
            return json.load(answer)
    except HTTPError as error:
        why = _why(error)
        fail(_EXITS.get(error.code, Exit.FAILURE), f"the node at {address} says no: {why}")
    except (URLError, OSError, HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        fail(
            Exit.UNHEALTHY,
            f"no node answers at {address}: {reason}",
            ["this is the admin port, server.admin; name another with --admin HOST:PORT"],
            then=[f"curl -sS http://{address}/-/readyz"],
        )


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
