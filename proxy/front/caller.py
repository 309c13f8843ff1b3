"""Who asks: the Authorization field of a request, as a caller."""

from __future__ import annotations

import base64
import re
from typing import Final

from proxy.core.caller import ANONYMOUS, Caller, bearer
from proxy.core.errors import OriginRefused
from proxy.core.secret import Secret
from proxy.hub.problems import INVALID_CREDENTIALS

_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,4096}")


def caller_of(field: str | None, key: bytes) -> Caller:
    """The caller that `field` (an Authorization value) presents; `key` is this process' random key.

    No field, or an empty one, is an anonymous caller. `Bearer <token>`, and `Basic` with the token as password (git),
    are understood. Anything else raises OriginRefused(401) in the words by which huggingface_hub tells a bad token from
    a hidden repo: to take somebody who presents credentials for nobody would hide a repo from them that they may read.
    """
    if field is None or not field.strip():
        return ANONYMOUS
    scheme, _, rest = field.strip().partition(" ")
    token = _token(scheme.lower(), rest.strip())
    if token is None:
        raise OriginRefused(401, INVALID_CREDENTIALS, headers=(("www-authenticate", 'Bearer realm="Penstock"'),))
    return bearer(Secret(token), key)


def _token(scheme: str, credentials: str) -> str | None:
    if scheme == "basic":
        credentials = _password(credentials)
    elif scheme != "bearer":
        return None
    return credentials if _TOKEN.fullmatch(credentials) else None


def _password(credentials: str) -> str:
    """The password of a Basic pair, or, as `https://hf_…@host` sends it, the user name when there is none."""
    try:
        pair = base64.b64decode(credentials, validate=True).decode("ascii")
    except ValueError:  # no base64, or no ASCII, inside or outside of it
        return ""
    user, _, password = pair.partition(":")
    return password or user
