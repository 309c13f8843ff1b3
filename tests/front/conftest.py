"""Every test of this room runs on uvloop, which the product uses, and on plain asyncio, which it falls back to."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
import uvloop

from tests.front.fakes import FakeCoordinator


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def coordinator(tmp_path: Path) -> FakeCoordinator:
    return FakeCoordinator(tmp_path)


@pytest.fixture(scope="session")
def tls() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context for localhost, and a client's that trusts it."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", not_after=datetime.datetime(2100, 1, 1)).configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client
