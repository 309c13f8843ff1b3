"""Where the origin may send us: decided on the `Location` alone, before any connection is made.

A redirect leads Home (same scheme, host and port as the configured origin: the token goes along) or Abroad (a host on
the list: no credential, no field of ours but the range). Anything else is refused (RELIABILITY §3.4).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from yarl import URL

from proxy.config.origins import OriginSection
from proxy.core.errors import ConfigError, OriginLied

_LONGEST: Final = 16 * 1024
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|[0-9a-f:.]+", re.ASCII)
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Home:
    """The origin itself."""

    url: URL


@dataclass(frozen=True, slots=True)
class Abroad:
    """A host the operator lists. `vouched`: named with its port, so that a private address is meant."""

    url: URL
    vouched: bool


@dataclass(frozen=True, slots=True)
class RedirectRules:
    """`hosts` are exact names, `.suffixes`, or either with a port; `origin` is the configured address."""

    origin: URL
    hosts: tuple[str, ...]
    allow_private: bool

    @classmethod
    def of(cls, config: OriginSection) -> RedirectRules:
        """The rules the operator set. Raises ConfigError."""
        for entry in config.redirect_hosts:
            _entry(entry)
        return cls(URL(config.url), config.redirect_hosts, config.allow_private)

    def judge(self, asked: URL, location: str | None) -> Home | Abroad:
        """Where `location`, answered to a request for `asked`, leads. Raises OriginLied, naming at most the host."""
        url = _read(asked, location)
        host, port = _place(url)
        if url.scheme not in _DEFAULT_PORTS:
            raise OriginLied("the origin redirects to something that is neither http nor https")
        if (url.scheme, host, port) == (self.origin.scheme, *_place(self.origin)):
            return Home(url)
        if url.scheme == "http" and self.origin.scheme == "https":
            raise OriginLied(f"the origin redirects to {host} without TLS")
        return Abroad(url, self._vouched(url.scheme, host, port))

    def _vouched(self, scheme: str, host: str, port: int) -> bool:
        """Whether the operator named host and port. Raises OriginLied when the host is not listed at all."""
        listed = [_entry(entry) for entry in self.hosts]
        if (host, port) in listed:
            return True
        if any(_names(name, host) and given == port for name, given in listed):
            return False
        usual = port == _DEFAULT_PORTS[scheme] or self.allow_private
        if usual and (host == _place(self.origin)[0] or any(_names(name, host) for name, given in listed if not given)):
            return False
        raise OriginLied(
            f"the origin redirects to {host}:{port}, which is not in origin.redirect_hosts; "
            f"if it is right, add it there (--origin-redirect-host {host}:{port})"
        )


def _read(asked: URL, location: str | None) -> URL:
    if not location or len(location) > _LONGEST:
        raise OriginLied("the origin redirects without saying where to, or at excessive length")
    if not _VISIBLE.fullmatch(location) or "\\" in location:
        raise OriginLied("the origin redirects to an address with characters that no address has")
    try:
        # encoded: a presigned query is right to the byte or not at all
        said = URL(location, encoded=True)
        if said.scheme and not said.raw_host:
            raise OriginLied("the origin redirects to an address without a host")
        url = asked.join(said)
        user = url.raw_user is not None or url.raw_password is not None
    except ValueError:
        raise OriginLied("the origin redirects to an address that cannot be read") from None
    if user or "@" in url.raw_authority:
        raise OriginLied("the origin redirects to an address with a user name in it")
    return url


def _place(url: URL) -> tuple[str, int]:
    """Host in lower case without its final dot, and port."""
    try:
        host, port = (url.raw_host or "").lower(), url.port
    except ValueError:
        raise OriginLied("the origin redirects to an address whose host or port cannot be read") from None
    host = host[:-1] if host.endswith(".") else host
    if not _HOST.fullmatch(host) or port is None or not 0 < port < 65536:
        raise OriginLied("the origin redirects to an address without a proper host and port")
    return host, port


def _entry(text: str) -> tuple[str, int | None]:
    """A line of redirect_hosts: name in lower case, and port if it has one. Raises ConfigError."""
    try:
        parts = urlsplit(f"//{text}")
        name, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        name = ""
    if not name.strip("."):
        raise ConfigError([f"origin.redirect_hosts: {text!r} is no host; write it like .hf.co or cdn.example:8443"])
    return name, port


def _names(listed: str, host: str) -> bool:
    return host.endswith(listed) if listed.startswith(".") else host == listed
