"""`penstock explain` in a fleet: which of the other nodes has what of a file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from bench.hub.content import MIB
from proxy.core.blob import BlobKey
from proxy.core.errors import PeerFailed
from proxy.core.sizes import SLICE
from proxy.core.spans import Span
from proxy.hub.facts import FileFacts
from proxy.hub.names import FileTarget, RepoId, RepoKind, Revision
from proxy.hub.peering import PeerQuestion
from proxy.service.operations.elsewhere import MOST_SLICES, held_elsewhere, in_words
from tests.kit.command import penstock
from tests.kit.fleet import Fleet
from tests.kit.node import Node
from tests.kit.stage import Stage


@dataclass
class SteeredFleet:
    """Ourselves, `n0`, and others that have the slices given by name; None: it does not answer."""

    has_slices: dict[str, set[int] | None]
    us: str = "n0"
    asked: list[tuple[str, Span]] = field(default_factory=list)

    def ranked(self, name: BlobKey, index: int) -> tuple[str, ...]:
        return (*self.has_slices, self.us)

    async def has(self, peer: str, question: PeerQuestion, span: Span) -> bool:
        self.asked.append((peer, span))
        held = self.has_slices[peer]
        if held is None:
            raise PeerFailed("silence")
        return span.start // SLICE in held


def question(size: int) -> PeerQuestion:
    target = FileTarget(RepoId(RepoKind.MODEL, "acme/tiny"), Revision("c" * 40), "model.safetensors")
    return PeerQuestion(target, FileFacts("ab" * 32, size, linked=True, key=None), None)


async def test_each_node_is_asked_for_each_slice_and_one_that_is_silent_once() -> None:
    fleet = SteeredFleet({"n1": {0, 2}, "n2": None, "n3": set()})
    size = 2 * SLICE + 5
    assert await held_elsewhere(fleet, question(size)) == {"n1": [0, 2], "n2": None, "n3": []}
    spans = [Span(0, SLICE), Span(SLICE, 2 * SLICE), Span(2 * SLICE, size)]
    assert [span for peer, span in fleet.asked if peer == "n1"] == spans
    assert [span for peer, span in fleet.asked if peer == "n2"] == spans[:1]


async def test_a_huge_file_is_asked_about_as_far_as_is_told() -> None:
    fleet = SteeredFleet({"n1": set(range(1000))})
    assert await held_elsewhere(fleet, question(1000 * SLICE)) == {"n1": list(range(MOST_SLICES))}


@pytest.mark.parametrize(
    ("held", "slices", "said"),
    [
        ({}, 3, "there is no other node"),
        ({"n1": [0, 1, 2]}, 3, "n1: all"),
        ({"n1": [], "n2": None}, 3, "n1: no whole slice; n2: does not answer"),
        ({"n1": []}, 1, "n1: nothing"),
        ({"n1": [0, 1, 2, 5, 7, 8]}, 16, "n1: slices 0-2, 5, 7-8"),
        ({"n1": [3]}, 4, "n1: slices 3"),
    ],
)
def test_what_they_have_in_words(held: dict[str, list[int] | None], slices: int, said: str) -> None:
    assert in_words(held, slices) == said


async def explained(node: Node, target: str) -> dict[str, Any]:
    done = await penstock("explain", target, "--json", "--admin", str(node.admin))
    assert done.returncode == 0, done.said
    return {step["name"]: step["says"] for step in json.loads(done.stdout)["steps"]}


async def test_explain_names_the_nodes_that_have_the_file(stage: Stage) -> None:
    fleet = await Fleet.start(stage, 3)
    first, second = fleet.nodes[:2]
    file = fleet.file_of({0: second}, 3 * MIB)
    assert (await stage.read(second, file)).complete
    await stage.ask(first, file.target(), method="HEAD")
    owner, other = (url.removeprefix("http://") for url in fleet.urls[1:])
    steps = await explained(first, file.target())
    assert f"{owner}: all" in steps["nodes"]
    assert f"{other}: no" in steps["nodes"]
    purged = await penstock("purge", str(file.repo), "--dry-run", "--admin", str(first.admin))
    assert purged.returncode == 0, purged.said
    (line,) = [line for line in purged.stderr.splitlines() if line.startswith("the other nodes (")]
    assert owner in line
    assert other in line
    assert "pinned there or not" in line
    assert steps["owners"].endswith(f"0: {owner}")
    await stage.kill(fleet.nodes[2])
    steps = await explained(first, file.target())
    assert f"{owner}: all" in steps["nodes"]
    assert f"{other}: no" not in steps["nodes"], "it does not answer, or is known to be gone"
