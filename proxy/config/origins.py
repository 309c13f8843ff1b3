"""The origins: the one at the root, and those mounted beside it."""

from __future__ import annotations

import re
from typing import Final, Literal

from pydantic import field_validator

from .spelling import AnchoredPath, Duration, Section, http_url, knob

_NAME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_LONGEST_NAME: Final = 40


class OriginSite(Section):
    """What every origin has."""

    url: str = knob(..., "The base of the origin.")
    connect_timeout: Duration = knob("5s", "Time to connect to the origin, TLS included.", gt=0)
    read_timeout: Duration = knob("10s", "Longest silence of the origin before a request is given up or resumed.", gt=0)
    connections_per_host: int = knob(32, "Transfers under way per origin host (and worker).", ge=1)
    retries: int = knob(4, "How often a cut or failed transfer is taken up again without any progress.", ge=0, le=20)

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        return http_url(value)


class OriginSection(OriginSite):
    """The Hub we mirror, or a generic origin we cache."""

    url: str = knob("https://huggingface.co", "The Hub to mirror, or the base of a generic origin.")
    kind: Literal["hub", "http"] = knob(
        "hub",
        "What the origin speaks: hub (the Hugging Face Hub's interfaces), or http (any HTTP server: all that this node "
        "is asked for is cached by RFC 9111).",
    )
    token_file: AnchoredPath | None = knob(
        None,
        "A file (0600, or a systemd credential) with a token of the mirror's own. Bytes that an anonymous caller was "
        "proven to be allowed are then fetched on its rate limit; it is never used to find out what anybody may read.",
    )
    redirect_hosts: tuple[str, ...] = knob(
        (".hf.co", ".huggingface.co"), "Hosts (or .suffixes) to which the origin may send us for file bytes."
    )
    xet: bool = knob(
        True,
        "Fetch by Xet what the origin refuses to give by plain HTTP (the Hub: files above 50 GB). Needs hf_xet: pip "
        "install 'penstock[xet]'. Its store has to be among redirect_hosts.",
    )
    allow_private: bool = knob(
        False,
        "Let redirects lead to loopback and private addresses. Only for an origin in your own network; a loopback "
        "origin needs its own address in redirect_hosts as well.",
    )


class MountedOrigin(OriginSite):
    """A generic origin beside the one at the root: its targets are those under `/o/{name}/`."""

    name: str = knob(..., "What it is called in addresses, /o/NAME/…: lower-case letters, digits, single dashes.")
    kind: Literal["http"] = knob("http", "What it speaks; the Hub is at the root alone.")

    @field_validator("name")
    @classmethod
    def _named(cls, value: str) -> str:
        if not is_mount_name(value):
            raise ValueError(NAME_RULE)
        return value


NAME_RULE: Final = (
    f"a name is lower-case letters, digits and single dashes, at most {_LONGEST_NAME}, like pypi or data-2"
)


def is_mount_name(text: object) -> bool:
    """Whether an origin may be called so."""
    return isinstance(text, str) and len(text) <= _LONGEST_NAME and _NAME.fullmatch(text) is not None
