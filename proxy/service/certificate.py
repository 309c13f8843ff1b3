"""The TLS side of the data port, and what it takes over in flight: another certificate in the same files."""

from __future__ import annotations

import ssl
from pathlib import Path

from cryptography import x509

from proxy.config.schema import ServerSection


class Certificate:
    """The certificate and key of two PEM files. `context` is what the data port speaks with."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises OSError."""
        self._files = certificate, key
        self.ends = _end(certificate)
        """When it, or another of its chain, is valid no more (Unix time)."""
        self.context = _context(certificate, key)

    @classmethod
    def of(cls, server: ServerSection) -> Certificate | None:
        """None when the data port speaks plainly. Raises OSError."""
        if server.tls_certificate is None or server.tls_key is None:
            return None
        return cls(server.tls_certificate, server.tls_key)

    def take_over(self) -> None:
        """Take what is in the files now, for connections to come. Raises OSError, and leaves all as it was."""
        ends = _end(self._files[0])
        _context(*self._files)  # a key that does not fit would leave the context in force without any
        _load(self.context, *self._files)
        self.ends = ends


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _load(context, certificate, key)
    return context


def _load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    # A key with a password is refused: without this the library would ask for it on a terminal, and wait.
    try:
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:  # its words name no file
        raise OSError(f"{certificate} and {key} are no usable pair: {error}") from error


def _end(certificate: Path) -> float:
    try:
        chain = x509.load_pem_x509_certificates(certificate.read_bytes())
    except ValueError as error:
        raise OSError(f"{certificate}: {error}") from error
    return min(one.not_valid_after_utc.timestamp() for one in chain)
