"""Four generations of hf_xet fetch through the facade, and never reach the CAS or the CDN of the Hub."""

from __future__ import annotations

from typing import Any

import pytest

from bench.hub.content import MIB
from bench.hub.messages import Plane
from tests.kit.clients import XET_VERSIONS
from tests.kit.files import Expected
from tests.kit.node import Node
from tests.kit.stage import Stage

every_version = pytest.mark.parametrize("version", XET_VERSIONS)
SIZE = 44 * MIB + 12_345


def big(stage: Stage) -> Expected:
    return stage.blob("acme/tiny", "model.safetensors", SIZE)


def fetch(file: Expected, **how: Any) -> dict[str, Any]:
    return {"op": "download", "repo_id": "acme/tiny", "filename": file.path, **how}


def came_by_xet(stage: Stage, node: Node) -> bool:
    """The bytes were delivered as xorbs, none as a file; and the client asked nobody but the mirror."""
    bodies = [record for record in node.access_records() if record["method"] == "GET" and record["bytes"] > MIB]
    assert bodies
    assert {record["route"] for record in bodies} == {"xet"}
    assert not any(record.plane is Plane.CAS for record in stage.hub.log)
    assert not any("hf_hub" in record.headers.get("user-agent", "") for record in stage.hub.log)
    return True


@every_version
async def test_an_advertised_file_comes_by_xet_cold_and_warm(stage: Stage, version: str) -> None:
    """HUB-PROTOCOL §7.7."""
    file = big(stage)
    node = await stage.node(workers=2, xet__advertise_above=0)
    for _ in range(2):
        (outcome,) = await stage.client(version, node, [fetch(file)])
        stage.got(file, outcome)
        assert outcome.value["size"] == SIZE
    assert came_by_xet(stage, node)
