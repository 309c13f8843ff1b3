"""The certificate of the data port: how long it lasts, and how another takes its place."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from pathlib import Path

import pytest
import trustme

from proxy.config.schema import ServerSection
from proxy.service.certificate import Certificate

AUTHORITY = trustme.CA()


def issue(folder: Path, year: int, *, key: trustme.LeafCert | None = None) -> trustme.LeafCert:
    """Put a certificate that ends with that year's first day into the files; the key of another, if one is given."""
    issued = AUTHORITY.issue_cert("localhost", not_after=datetime.datetime(year, 1, 1))
    issued.cert_chain_pems[0].write_to_path(str(folder / "chain.pem"))
    (key or issued).private_key_pem.write_to_path(str(folder / "key.pem"))
    return issued


def held(folder: Path) -> Certificate:
    found = Certificate.of(ServerSection(tls_certificate=folder / "chain.pem", tls_key=folder / "key.pem"))
    assert found is not None
    return found


def end_of(year: int) -> float:
    return datetime.datetime(year, 1, 1, tzinfo=datetime.UTC).timestamp()


def shown(certificate: Certificate) -> bytes:
    """The certificate that a client of a connection made now is shown (DER)."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        server = threading.Thread(target=lambda: certificate.context.wrap_socket(theirs, server_side=True))
        server.start()
        trusting = ssl.create_default_context()
        AUTHORITY.configure_trust(trusting)
        with trusting.wrap_socket(ours, server_hostname="localhost") as line:
            found = line.getpeercert(binary_form=True)
        server.join()
    assert found is not None
    return found


def test_without_one_the_data_port_speaks_plainly() -> None:
    assert Certificate.of(ServerSection()) is None


def test_it_knows_its_end(tmp_path: Path) -> None:
    issue(tmp_path, 2090)
    assert held(tmp_path).ends == end_of(2090)


def test_it_lasts_as_long_as_the_shortest_of_its_chain(tmp_path: Path) -> None:
    issue(tmp_path, 2080)
    short = (tmp_path / "chain.pem").read_bytes()
    issue(tmp_path, 2090)
    with (tmp_path / "chain.pem").open("ab") as chain:
        chain.write(short)
    assert held(tmp_path).ends == end_of(2080)


def test_what_lies_in_its_files_is_shown_to_new_connections(tmp_path: Path) -> None:
    issue(tmp_path, 2080)
    certificate = held(tmp_path)
    before = shown(certificate)
    issue(tmp_path, 2090)
    assert shown(certificate) == before
    certificate.take_over()
    assert shown(certificate) != before
    assert certificate.ends == end_of(2090)


@pytest.mark.parametrize("wrong", ["key", "text", "nothing", "half"])
def test_what_is_no_pair_changes_nothing(tmp_path: Path, wrong: str) -> None:
    other = issue(tmp_path, 2070)
    issue(tmp_path, 2080)
    certificate = held(tmp_path)
    before = shown(certificate)
    match wrong:
        case "key":
            issue(tmp_path, 2090, key=other)
        case "text":
            (tmp_path / "chain.pem").write_text("no certificate")
        case "nothing":
            (tmp_path / "key.pem").unlink()
        case "half":
            (tmp_path / "chain.pem").write_bytes((tmp_path / "chain.pem").read_bytes()[:300])
    with pytest.raises(OSError):
        certificate.take_over()
    assert shown(certificate) == before
    assert certificate.ends == end_of(2080)
