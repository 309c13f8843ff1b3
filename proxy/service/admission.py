"""Who may speak to the admin port. Decided from two fields of a request; nothing is looked up.

Two doors are shut here. A page in an operator's browser can have its own host name resolve to our address, and would
then be same-origin with the admin API (DNS rebinding): only names that are ours are answered, and addresses in digits,
which nobody can point elsewhere. And on a network anybody may ask: there a token is needed.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.config.schema import Config
from proxy.core.errors import ConfigError
from proxy.core.secret import Secret

OPEN: Final = frozenset({"/-/livez", "/-/readyz"})
"""What load balancers and kubelets ask, who have no token."""
_HOST: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^\[\]:/?#@\s]+)(:[0-9]*)?")
_TOKEN: Final = re.compile(r"[\x21-\x7e]{16,4096}")


@dataclass(frozen=True, slots=True)
class Admission:
    """The names we go by (lower case) and the token to be shown; without one nobody needs any."""

    names: frozenset[str]
    token: Secret | None = None

    def knows(self, host: str | None) -> bool:
        """Whether the Host of a request is us. None, which no browser sends, is."""
        if host is None:
            return True
        if (found := _HOST.fullmatch(host)) is None:
            return False
        name = found["name"].strip("[]").rstrip(".").lower()
        return name in self.names or _is_in_digits(name)

    def lets_in(self, path: str, authorization: str | None) -> bool:
        """Whether a request for `path` with that Authorization may be answered."""
        if self.token is None or path in OPEN:
            return True
        scheme, _, shown = (authorization or "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(
            shown.strip().encode("utf-8", "surrogateescape"), self.token.reveal().encode()
        )


def admission_of(config: Config) -> Admission:
    """Who is let in by `config`. Raises ConfigError when the token cannot be read."""
    path = config.admin.token_file
    names = {"localhost", config.server.admin.host.lower(), *(name.lower() for name in config.admin.names)}
    return Admission(frozenset(names), None if path is None else admin_token(path))


def admin_token(path: Path) -> Secret:
    """What the file `admin.token_file` holds. Raises ConfigError."""
    made = f"make one with: (umask 077; openssl rand -hex 32 > {path})"
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError([f"admin.token_file {path}: cannot be read: {why}; {made}"]) from None
    if not _TOKEN.fullmatch(text):
        raise ConfigError(
            [f"admin.token_file {path}: holds no token of one line and at least 16 characters without blanks; {made}"]
        )
    return Secret(text)


def _is_in_digits(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
