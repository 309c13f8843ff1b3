"""A scripted origin, and a node before it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kit.webnode import WebNode, web_node
from tests.kit.weborigin import WebSite


@pytest.fixture
async def site() -> AsyncIterator[WebSite]:
    async with WebSite.open() as opened:
        yield opened


@pytest.fixture
async def node(site: WebSite, tmp_path: Path) -> AsyncIterator[WebNode]:
    async with web_node(tmp_path, site.url) as running:
        yield running
