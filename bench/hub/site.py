"""What every page of the synthetic Hub needs to know: the world, the addresses, and how CDN addresses are signed."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, urlencode

from .cas import Cas
from .content import Blob
from .world import World

LIFETIME = 3600.0


@dataclass(frozen=True, slots=True)
class UrlTerms:
    """How long a minted CDN address works: seconds, and requests (None: any number)."""

    seconds: float = LIFETIME
    uses: int | None = None


class Refused(Exception):
    """A CDN address that does not work (any more); the text is what the CDN says."""


class Signer:
    """Mints and checks presigned CDN addresses, and knows the blob behind each."""

    def __init__(self, clock: Callable[[], float], secret: bytes = b"synthetic hub") -> None:
        self._clock = clock
        self._secret = secret
        self._objects: dict[str, Blob] = {}
        self._uses: dict[str, int] = {}
        self._epoch = 0
        self._serial = 0

    def mint(self, base: str, blob: Blob, filename: str, terms: UrlTerms) -> str:
        """An absolute address of the blob. Each one is different, as on the Hub."""
        path = f"/xet-bridge-us/{blob.sha256[:24]}/{blob.sha256}"
        self._objects[path] = blob
        self._serial += 1
        parameters = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Date": f"{self._clock():.3f}",
            "X-Amz-Expires": f"{terms.seconds:g}",
            "X-Amz-SignedHeaders": "host",
            "X-Synthetic-Serial": f"{self._epoch}-{self._serial}",
            "X-Synthetic-Uses": "" if terms.uses is None else str(terms.uses),
            "response-content-disposition": f"inline; filename*=UTF-8''{quote(filename)}",
            "x-id": "GetObject",
        }
        signed = {**parameters, "X-Amz-Signature": self._signature(path, parameters)}
        return f"{base}{path}?{urlencode(signed, quote_via=quote)}"

    def expire_all(self) -> None:
        """Every address minted so far stops working."""
        self._epoch += 1

    def open(self, raw_path: str) -> Blob:
        """The blob behind an address; counts one use. Raises Refused."""
        path, _, query = raw_path.partition("?")
        parameters = dict(parse_qsl(query, keep_blank_values=True))
        signature = parameters.pop("X-Amz-Signature", "")
        if not hmac.compare_digest(signature.encode(), self._signature(path, parameters).encode()):
            raise Refused("SignatureDoesNotMatch")
        if int(parameters["X-Synthetic-Serial"].partition("-")[0]) < self._epoch:
            raise Refused("Request has expired")
        if self._clock() >= float(parameters["X-Amz-Date"]) + float(parameters["X-Amz-Expires"]):
            raise Refused("Request has expired")
        self._use(signature, parameters["X-Synthetic-Uses"])
        return self._objects[path]

    def _use(self, signature: str, limit: str) -> None:
        if not limit:
            return
        used = self._uses.get(signature, 0)
        if used >= int(limit):
            raise Refused("Request has expired")
        self._uses[signature] = used + 1

    def _signature(self, path: str, parameters: Mapping[str, str]) -> str:
        """Over the decoded parameters, as S3 does: a client may quote them anew."""
        canonical = f"{path}?{urlencode(sorted(parameters.items()))}"
        return hmac.new(self._secret, canonical.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Site:
    """The synthetic Hub as its pages see it. The addresses have no trailing slash."""

    world: World
    signer: Signer
    hub_url: str
    cdn_url: str
    cas_url: str
    cas: Cas
    xet: bool = field(default=True)
    """Whether large files are announced as Xet files too."""
