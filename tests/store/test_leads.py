"""Who asks for all workers of a node."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy.store.leads import Leads

ONE, OTHER = b"12345678", b"87654321"
HOLDER = """
import sys
from pathlib import Path
from proxy.store.leads import Leads
with Leads.open(Path(sys.argv[1])) as leads:
    lead = leads.take(b"12345678")
    lead.tell()
    print("taken", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Leads, Leads]]:
    with ExitStack() as stack:
        ours, theirs = [stack.enter_context(Leads.open(tmp_path / "leads")) for _ in range(2)]
        yield ours, theirs


def test_a_lead_is_had_by_one_at_a_time(pair: tuple[Leads, Leads]) -> None:
    ours, theirs = pair
    lead = ours.take(ONE)
    assert lead is not None
    assert theirs.take(ONE) is None
    assert ours.take(ONE) is None, "nor by another question of the same worker"
    assert (theirs.is_taken(ONE), ours.is_taken(ONE), theirs.is_taken(OTHER)) == (True, False, False)
    lead.end()
    assert not theirs.is_taken(ONE)
    assert theirs.take(ONE) is not None


def test_a_lead_ends_once(pair: tuple[Leads, Leads]) -> None:
    ours, theirs = pair
    first = ours.take(ONE)
    assert first is not None
    first.end()
    second = ours.take(ONE)
    first.end()
    assert second is not None
    assert theirs.is_taken(ONE), "an end that comes late takes nothing from who has it now"


def test_it_is_told_that_each_asks_for_itself_until_all_who_say_so_take_it_back(pair: tuple[Leads, Leads]) -> None:
    ours, theirs = pair
    (first := ours.take(ONE)) and first.tell()
    assert first is not None
    assert theirs.is_for_each(ONE)
    assert not theirs.is_for_each(OTHER)
    assert not ours.is_for_each(ONE), "who has found it knows it"
    first.end()
    assert theirs.is_for_each(ONE)
    second = theirs.take(ONE)
    assert second is not None
    second.tell()
    first.take_back()
    assert not theirs.is_for_each(ONE)
    assert ours.is_for_each(ONE)
    second.take_back()
    assert not ours.is_for_each(ONE)


def test_a_thousand_leads_are_no_bytes(tmp_path: Path) -> None:
    with Leads.open(tmp_path / "leads") as leads:
        taken = [leads.take(number.to_bytes(8) * 4) for number in range(0, 2**63, 2**53)]
        assert None not in taken
    assert (tmp_path / "leads").stat().st_size == 0


async def test_what_a_killed_worker_led_and_told_ends_with_it(tmp_path: Path) -> None:
    holder = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        HOLDER,
        str(tmp_path / "leads"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert await asyncio.wait_for(holder.stdout.readline(), 30) == b"taken\n"
        with Leads.open(tmp_path / "leads") as leads:
            assert leads.take(ONE) is None
            assert leads.is_for_each(ONE)
            holder.kill()
            await holder.wait()
            assert not leads.is_taken(ONE)
            assert not leads.is_for_each(ONE)
            assert leads.take(ONE) is not None
    finally:
        if holder.returncode is None:
            holder.kill()
        await holder.communicate()
