"""Asking a running node on its admin port."""

from __future__ import annotations

import json
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener

from proxy.config.schema import Address

from .codes import Exit
from .serve import configuration_or_exit
from .talk import fail

WITHIN: Final = 5.0
"""Seconds of silence after which the node counts as not answering."""


_EXITS: Final = {400: Exit.USAGE, 404: Exit.NOT_FOUND, 409: Exit.CONFLICT, 503: Exit.UNHEALTHY}


def admin_address(config_file: Path | None, given: str | None) -> Address:
    """Where the node of this configuration is asked: `--admin`, or `server.admin` of file and environment."""
    flags = {} if given is None else {"server__admin": given}
    found = configuration_or_exit(config_file, flags).server.admin
    # A node that listens everywhere is asked here.
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    return Address(host=here.get(found.host, found.host), port=found.port)


def ask(address: Address, method: str, path: str) -> Any:
    """The node's answer. Ends the command when there is none, or it is a refusal."""
    body = b"{}" if method == "POST" else None
    request = Request(f"http://{address}{path}", body, {"Content-Type": "application/json"}, method=method)
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
    return build_opener(ProxyHandler({}))


def _why(error: HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError, OSError):
        return f"{error.code} {error.reason}"
