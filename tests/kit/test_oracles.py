"""The oracles on evidence made by hand: what each lets pass, and what it does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.hub.content import BytesBlob
from proxy.core.sizes import CHUNK, MIB

from .evidence import Bounds, Evidence, HubAccount, Run, Wants
from .files import Expected
from .oracles import judged
from .procfs import Descriptors, Snapshot
from .reader import Asked, Ending, Reading
from .scrape import Page

SIZE = 4 * MIB
FILE = Expected("acme/tiny", "", "c" * 40, "model.bin", "e" * 64, BytesBlob(b"x" * SIZE), True)


def reading(ending: Ending | None = Ending.COMPLETE, received: int = SIZE, **traits: Any) -> Reading:
    return Reading(
        Asked(FILE),
        0.0,
        status=200,
        received=received,
        body_bytes=received,
        requests=1,
        ended=1.0,
        ending=ending,
        **traits,
    )


def page(**sums: int) -> Page:
    counted = {
        "http_requests_total": 1,
        "response_bytes_total": SIZE,
        "upstream_bytes_total": SIZE,
        "upstream_requests_total": 2,
        "fill_bytes_total": SIZE,
    }
    return Page("", tuple((f"penstock_{name}", {}, float(value)) for name, value in (counted | sums).items()))


def process(**traits: Any) -> Snapshot:
    resting = Snapshot(7, Descriptors((), 0, 0, 5), threads=4, children=0, anonymous=40 * MIB)
    return replace(resting, **traits)


def run(quiet: Snapshot | None = None, **traits: Any) -> Run:
    record: Mapping[str, Any] = {"bytes": SIZE, "status": 200}
    usual = Run(1, False, {7: process()}, {7: quiet or process()}, page(), (record,), (), 0)
    return replace(usual, **traits)


def evidence(**traits: Any) -> Evidence:
    wants = Wants()
    wants.add("blob", SIZE, (0, SIZE))
    usual = Evidence(
        readings=(reading(),),
        received=(),
        wanted=wants.value(),
        hub=HubAccount({"cdn": 1, "resolve": 1}, {"cdn": SIZE}, 0, False),
        runs=(run(),),
        bounds=Bounds(span=MIB, parallel=2, threads=20),
    )
    return replace(usual, **traits)


def accused(found: Evidence) -> set[str]:
    return {name.split()[0] for name in judged(found)}


def test_a_clean_story_raises_no_complaint() -> None:
    assert judged(evidence()) == {}


EXACT = Bounds(span=MIB, parallel=2, threads=20, exact_origin=True)

BROKEN: dict[str, tuple[str, Evidence]] = {
    "a wrong byte": ("O1", evidence(readings=(reading(faults=["byte 5 is wrong"]),))),
    "a short clean end": (
        "O2",
        evidence(readings=(reading(received=SIZE - 1),), runs=(run(page=page(response_bytes_total=SIZE)),)),
    ),
    "an answer that never ended": ("O2", evidence(readings=(reading(None),))),
    "bytes fetched twice": ("O3", evidence(hub=HubAccount({"cdn": 2}, {"cdn": 2 * SIZE}, 0, False))),
    "a client connection left open": ("O4", evidence(runs=(run(process(descriptors=Descriptors((), 1, 0, 5))),))),
    "descriptors left open": ("O4", evidence(runs=(run(process(descriptors=Descriptors((), 0, 0, 30))),))),
    "threads left": ("O4", evidence(runs=(run(process(threads=60)),))),
    "children left": ("O4", evidence(runs=(run(process(children=1)),))),
    "memory kept": ("O4", evidence(runs=(run(process(anonymous=400 * MIB)),))),
    "a temporary file": ("O4", evidence(runs=(run(leftovers=("tmp/1-abc was left behind",)),))),
    "a store at odds with itself": ("O5", evidence(fsck=("chunk 3 does not match its CRC",))),
    "a reader that hung": ("O6", evidence(readings=(reading(Ending.HUNG, 10),))),
    "a node that did not stop": ("O6", evidence(late=("it did not stop",))),
    "a token": ("O7", evidence(canaries=("events.log holds a token",))),
    "a request that is not logged": ("O8", evidence(runs=(run(records=()),))),
    "bytes that are not counted": ("O8", evidence(runs=(run(page=page(response_bytes_total=SIZE - 1)),))),
    "bytes nobody received": (
        "O8",
        evidence(runs=(run(page=page(response_bytes_total=SIZE + 1), records=({"bytes": SIZE + 1},)),)),
    ),
    "origin bytes that are not counted": (
        "O8",
        evidence(bounds=EXACT, runs=(run(page=page(upstream_bytes_total=SIZE - 1, fill_bytes_total=0)),)),
    ),
    "origin requests that are not counted": (
        "O8",
        evidence(bounds=EXACT, runs=(run(page=page(upstream_requests_total=1)),)),
    ),
    "more origin requests than there were": ("O8", evidence(runs=(run(page=page(upstream_requests_total=3)),))),
    "more filled than received": ("O8", evidence(runs=(run(page=page(fill_bytes_total=SIZE + 1)),))),
}


@pytest.mark.parametrize(("oracle", "story"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_promise_is_seen_by_its_oracle(oracle: str, story: Evidence) -> None:
    assert oracle in accused(story)


def test_a_visible_cut_is_an_honest_end() -> None:
    assert not accused(evidence(readings=(reading(Ending.BROKEN, 10),))) & {"O1", "O2", "O6"}


def test_what_was_in_flight_at_a_fault_or_a_kill_may_come_again() -> None:
    twice = HubAccount({"cdn": 2, "resolve": 1}, {"cdn": SIZE + 2 * MIB}, 0, False)
    assert "O3" in accused(evidence(hub=twice))
    assert "O3" not in accused(evidence(hub=replace(twice, strikes=1)))
    assert "O3" not in accused(evidence(hub=twice, bounds=Bounds(span=MIB, parallel=2, threads=20, kills=1)))


def test_exactly_once_is_not_nearly_once() -> None:
    exact = EXACT
    assert "O3" not in accused(evidence(bounds=exact))
    assert "O3" in accused(evidence(bounds=exact, hub=HubAccount({"cdn": 1}, {"cdn": SIZE + 1}, 0, False)))
    assert "O3" in accused(evidence(bounds=exact, hub=HubAccount({"cdn": 1}, {"cdn": SIZE - 1}, 0, False)))


def test_a_killed_run_owes_no_account() -> None:
    assert "O8" not in accused(evidence(runs=(run(killed=True, page=None, records=()),)))


@given(st.lists(st.tuples(st.integers(0, 40 * CHUNK), st.integers(1, 9 * CHUNK)), min_size=1))
def test_wanted_bytes_are_counted_once_and_in_whole_chunks(spans: list[tuple[int, int]]) -> None:
    size = 50 * CHUNK + 7
    wants = Wants()
    for start, length in spans:
        wants.add("blob", size, (start, min(start + length, size)))
    chunks = {at for start, length in spans for at in range(start // CHUNK, -(-min(start + length, size) // CHUNK))}
    right = sum(min(CHUNK, size - at * CHUNK) for at in chunks)
    assert evidence(wanted=wants.value()).unique_wanted() == right


def test_what_a_fleet_still_holds_is_complained_of() -> None:
    assert "O10 a fleet holds nothing" in judged(replace(evidence(), left=("Redis: penstock:lease:{x}:0",)))
