"""An address is looked at before somebody else connects to it for us."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from proxy.core.errors import OriginLied, OriginUnreachable
from proxy.origin.handover import vet


class Names(AbstractResolver):
    """A DNS of our own; a name it does not have does not exist."""

    def __init__(self, **addresses: list[str]) -> None:
        self._addresses = {name.replace("_", "."): found for name, found in addresses.items()}

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        if host not in self._addresses:
            raise OSError(f"no such name: {host}")
        found = self._addresses[host]
        return [ResolveResult(hostname=host, host=one, port=port, family=0, proto=0, flags=0) for one in found]

    async def close(self) -> None:
        pass


NAMES = Names(cas_hf_co=["1.1.1.1", "2606:4700::1"], mixed_hf_co=["1.1.1.1", "10.0.0.7"], loop_hf_co=["127.0.0.1"])


@pytest.mark.parametrize("url", ["https://cas.hf.co", "https://cas.hf.co:8443/a", "https://1.1.1.1/"])
async def test_a_public_address_may_be_handed_over(url: str) -> None:
    await vet(URL(url), NAMES)


@pytest.mark.parametrize(
    "url",
    [
        *("https://loop.hf.co", "https://mixed.hf.co", "https://10.0.0.7", "https://127.0.0.1:9", "https://[::1]/"),
        *("https://[::ffff:127.0.0.1]/", "https://169.254.169.254/latest"),
    ],
)
async def test_one_address_of_our_own_network_is_enough_to_refuse(url: str) -> None:
    with pytest.raises(OriginLied, match="not a public address"):
        await vet(URL(url), NAMES)


async def test_a_name_that_leads_nowhere_may_lead_somewhere_later() -> None:
    with pytest.raises(OriginUnreachable):
        await vet(URL("https://nowhere.hf.co"), NAMES)
