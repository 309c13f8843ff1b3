"""What an origin gets to see in a request: an allow-list, built here, never copied from a client.

Home: the caller's own token, our name, and the few fields that shape the answer. Abroad: no credential and nothing of
ours but the range (I8).
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from proxy.core.caller import Caller
from proxy.core.errors import ConfigError
from proxy.core.secret import Secret
from proxy.hub.oci import Agent

Fields = tuple[tuple[str, str], ...]


def _version() -> str:
    try:
        return version("penstock")
    except PackageNotFoundError:
        return "0"


USER_AGENT: Final = f"penstock/{_version()}"
_ALWAYS: Final = (("User-Agent", USER_AGENT), ("Accept-Encoding", "identity"))
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,4096}")
_MAY_PASS: Final = frozenset({"accept", "content-type", "content-encoding", "git-protocol"})
_AGENTS: Final = frozenset(agent.value for agent in Agent)
"""Names we go by where the answer depends on the class of who asks; a client's own never goes along."""


def own_token(path: Path) -> Caller:
    """The mirror itself as a caller, with the token in the file `path`. Raises ConfigError."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError([f"origin.token_file {path}: cannot be read: {why}"]) from None
    if not _TOKEN.fullmatch(text):
        raise ConfigError([f"origin.token_file {path}: holds no token; it should be one line like hf_…"])
    return Caller(b"mirror", Secret(text))  # no client's identity: those are HMACs of 32 bytes


def home_fields(caller: Caller, fields: Fields = ()) -> Fields:
    """The fields of a request to the origin itself; of `fields` only those that shape the answer go along."""
    token = caller.token
    bearer = () if token is None else (("Authorization", f"Bearer {token.reveal()}"),)
    passed = tuple((name, value) for name, value in fields if _may_pass(name.lower(), value))
    given = {name.lower() for name, _ in passed}
    always = tuple(field for field in _ALWAYS if field[0].lower() not in given)
    return (*always, ("Via", "1.1 penstock"), *bearer, *passed)


def _may_pass(name: str, value: str) -> bool:
    return name in _MAY_PASS or (name == "user-agent" and value in _AGENTS)


def abroad_fields() -> Fields:
    """The fields of a request to a host the origin sent us to."""
    return _ALWAYS
