"""An origin that is cut, slow, confused or wrong: no client ever ends cleanly with anything but the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.hub.content import KIB, MIB
from bench.hub.faults import (
    Act,
    ChangeContent,
    ChangeETag,
    Chunked,
    Cut,
    Delay,
    ExpireUrls,
    Fail,
    FlipByte,
    Gzip,
    IgnoreRange,
    RateLimited,
    Reset,
    SetHeaders,
    ShiftContentRange,
    Stall,
    Throttle,
    WrongLength,
)
from tests.kit.clients import CURRENT
from tests.kit.files import expected
from tests.kit.reader import Ending
from tests.kit.stage import Stage

SIZE = 12 * MIB + 77

PASSING: dict[str, Act] = {
    "cut": Cut(after=MIB + 5),
    "reset in the middle": Cut(after=MIB + 5, reset=True),
    "cut before the first byte": Cut(after=0),
    "reset in place of an answer": Reset(),
    "stalled": Stall(after=MIB // 2),
    "500": Fail(500),
    "503": Fail(503),
    "the whole for a range": IgnoreRange(),
}
MANGLED: dict[str, Act] = {
    "announced longer": WrongLength(by=10),
    "announced shorter": WrongLength(by=-10),
    "another range than asked": ShiftContentRange(),
    "gzip": Gzip(),
    "no length": Chunked(),
}


@pytest.mark.parametrize("act", PASSING.values(), ids=PASSING.keys())
async def test_a_fault_that_passes_is_healed_unseen(stage: Stage, act: Act) -> None:
    """HUB-PROTOCOL §7.10: the second request for bytes goes wrong, once; the reader does not notice."""
    file = stage.blob("acme/tiny", "model.safetensors", SIZE)
    node = await stage.node()
    stage.faults.add(act, kinds=("cdn",), times=1, skip=1)
    reading = await stage.read(node, file)
    if isinstance(act, IgnoreRange):
        stage.allow_origin(file.size)  # the whole that came in place of a span
    again = await stage.read(node, file)
    assert again.complete, again
    assert reading.complete, reading


@pytest.mark.parametrize("act", MANGLED.values(), ids=MANGLED.keys())
async def test_an_answer_that_contradicts_itself_is_never_kept(stage: Stage, act: Act) -> None:
    """The reader gets all of the file or a visible break; the next one gets all of it."""
    file = stage.blob("acme/tiny", "model.safetensors", SIZE)
    node = await stage.node()
    stage.faults.add(act, kinds=("cdn",), times=1, skip=1)
    reading = await stage.read(node, file)
    assert reading.ending is not Ending.HUNG, reading
    again = await stage.read(node, file)
    assert again.complete, again


async def test_a_429_in_the_middle_is_waited_out(stage: Stage) -> None:
    """HUB-PROTOCOL §7.31: who has half of a file is not cut because the CDN asks for a second's rest."""
    file = stage.blob("acme/tiny", "model.safetensors", SIZE)
    node = await stage.node(fetch__parallel=1)
    stage.faults.add(RateLimited(seconds=1), kinds=("cdn",), times=1, skip=2)
    reading = await stage.read(node, file)
    assert reading.complete, reading


async def test_a_client_notices_nothing_of_a_cut(stage: Stage) -> None:
    """HUB-PROTOCOL §7.10, with the real client, at the sizes of the report."""
    file = stage.blob("acme/tiny", "model.safetensors", 45 * MIB)
    node = await stage.node(fetch__span="32MiB", fetch__parallel=1)
    stage.faults.add(Cut(after=25 * MIB), kinds=("cdn",), times=1)
    (outcome,) = await stage.client(
        CURRENT, node, [{"op": "download", "repo_id": "acme/tiny", "filename": "model.safetensors"}]
    )
    stage.got(file, outcome)


@pytest.mark.parametrize("how", ["by use", "by time"])
async def test_an_address_that_expires_midway_is_asked_for_again(stage: Stage, how: str) -> None:
    """HUB-PROTOCOL §7.11."""
    file = stage.blob("acme/tiny", "model.safetensors", SIZE)
    node = await stage.node(fetch__parallel=2)
    if how == "by use":
        stage.faults.add(ExpireUrls(seconds=3600, uses=2), kinds=("resolve",))
        reading = await stage.read(node, file)
    else:
        gate = stage.hub.hold("cdn", after=MIB, skip=1, times=1)
        going = stage.reading(node, file)
        await going.until_received(MIB)
        stage.hub.expire_urls()
        gate.release()
        await stage.ended(going)
        reading = going
    assert reading.complete, reading
    assert stage.hub.counters.statuses[403] >= 1, "an address did expire"


async def test_the_first_byte_of_a_slow_origin_comes_as_soon_as_it_can(stage: Stage) -> None:
    """HUB-PROTOCOL §7.12: 64 KiB/s, and a stock client with its timeouts of 10 s."""
    repo = stage.repo("acme/tiny")
    repo.put_blob("model.safetensors", 192 * KIB)
    repo.commit("Upload")
    file = expected(repo, "model.safetensors")
    node = await stage.node(origin__read_timeout="10s")
    stage.faults.add(Throttle(64 * KIB), kinds=("cdn",))
    (outcome,) = await stage.client(
        CURRENT, node, [{"op": "download", "repo_id": repo.id, "filename": "model.safetensors"}]
    )
    stage.got(file, outcome)


async def test_a_large_file_flows_while_it_fills(stage: Stage) -> None:
    file = stage.blob("acme/tiny", "model.safetensors", 3 * MIB)
    node = await stage.node(origin__read_timeout="10s")
    stage.faults.add(Throttle(MIB), kinds=("cdn",))
    reading = await stage.read(node, file)
    assert reading.complete, reading
    assert reading.waited < 1.0, "the first byte does not wait for the first megabyte"


WRONG: dict[str, Callable[[], Act]] = {
    "a wrong byte": lambda: FlipByte(at=5 * MIB),
    "a wrong last byte": lambda: FlipByte(at=SIZE - 1),
    "other content under the old ETag": lambda: ChangeContent(at=3 * MIB, keep_etag=True),
}


@pytest.mark.parametrize("lie", WRONG.values(), ids=WRONG.keys())
async def test_wrong_bytes_never_end_cleanly_and_are_right_the_next_time(stage: Stage, lie: Callable[[], Act]) -> None:
    """HUB-PROTOCOL §7.9."""
    file = stage.blob("acme/tiny", "model.safetensors", SIZE)
    node = await stage.node()
    fault = stage.faults.add(lie(), kinds=("cdn",))
    lied_to = await stage.read(node, file)
    assert lied_to.ending is Ending.BROKEN, lied_to
    stage.forgive(lied_to)  # bytes stream before the digest is known; what counts is that the end is not clean
    stage.faults.remove(fault)
    stage.allow_origin(2 * file.size)  # the wrong ones, and one more try of the mirror's own
    honest = await stage.read(node, file)
    assert honest.complete, honest
    assert (await node.metrics()).total("corruptions_total") >= 1


async def test_a_wrong_small_file_is_never_answered(stage: Stage) -> None:
    """A file of one chunk is proven before its first byte leaves."""
    repo = stage.repo("acme/tiny")
    repo.put_text("config.json", b"x" * 5000)
    repo.commit("Upload")
    file = expected(repo, "config.json")
    node = await stage.node()
    fault = stage.faults.add(FlipByte(at=100), kinds=("resolve-cache",))
    lied_to = await stage.read(node, file)
    assert lied_to.ending is Ending.REFUSED, lied_to
    stage.faults.remove(fault)
    honest = await stage.read(node, file)
    assert honest.complete, honest


@pytest.mark.parametrize("lie", [ChangeETag(), ChangeContent(at=0)], ids=["only its ETag", "its content too"])
async def test_a_file_that_changes_under_a_download_is_never_mixed(stage: Stage, lie: Act) -> None:
    """The bytes' validator at the CDN is another from the third request on."""
    file = stage.blob("acme/tiny", "model.safetensors", SIZE)
    node = await stage.node(fetch__parallel=1)
    fault = stage.faults.add(lie, kinds=("cdn",), skip=2)
    reading = await stage.read(node, file)
    assert reading.complete or reading.ending is Ending.BROKEN, reading
    stage.faults.remove(fault)
    stage.allow_origin(2 * file.size)
    honest = await stage.read(node, file)
    assert honest.complete, honest


HEADS: dict[str, Act] = {
    "longer": SetHeaders({"X-Linked-Size": str(SIZE + 1)}),
    "shorter": SetHeaders({"X-Linked-Size": str(SIZE - 1)}),
    "small": SetHeaders({"X-Linked-Size": "100"}),
    "empty": SetHeaders({"X-Linked-Size": "0"}),
    "another digest": SetHeaders({"X-Linked-Etag": '"' + "ab" * 32 + '"'}),
    "a git file": SetHeaders({"X-Linked-Etag": '"' + "ab" * 20 + '"'}),
    "of another commit": SetHeaders({"X-Repo-Commit": "1" * 40}),
}


@pytest.mark.parametrize("lie", HEADS.values(), ids=HEADS.keys())
async def test_a_head_that_lies_once_is_not_believed_for_ever(stage: Stage, lie: Act) -> None:
    """What is known of a file at a commit is never asked again, unless the bytes say that it was wrong."""
    file = stage.blob("acme/tiny", "model.safetensors", SIZE)
    node = await stage.node()
    fault = stage.faults.add(lie, kinds=("resolve",), times=1)
    lied_to = await stage.read(node, file)
    assert lied_to.ending is Ending.REFUSED, lied_to
    stage.faults.remove(fault)
    stage.allow_origin(2 * file.size)
    honest = await stage.read(node, file)
    assert honest.complete, honest


async def test_an_origin_without_ranges_is_still_delivered_and_right(stage: Stage) -> None:
    file = stage.blob("acme/tiny", "model.safetensors", 6 * MIB)
    node = await stage.node()
    stage.allow_origin(None)  # each whole that comes for a span is more than was asked for
    stage.faults.add(IgnoreRange(), kinds=("cdn",))
    reading = await stage.read(node, file)
    assert reading.complete or reading.ending in (Ending.BROKEN, Ending.REFUSED), reading


async def test_a_flipped_byte_on_the_disk_is_not_served_after_an_unclean_boot(stage: Stage, tmp_path: Path) -> None:
    """HUB-PROTOCOL §7.9: the map says another boot wrote it, so the chunk is compared with its CRC on first read."""
    file = stage.blob("acme/tiny", "model.safetensors", 8 * MIB)
    node = await stage.node()
    await stage.read(node, file)
    await stage.stop(node)
    stage.pretend_another_boot(node)
    stage.flip_on_disk(node, file, at=3 * MIB + 17)
    await stage.start(node)
    stage.allow_origin(2 * MIB)  # the bad chunk, in a span of its own
    reading = await stage.read(node, file)
    assert reading.complete, reading


async def test_a_slow_head_does_not_outlast_the_client(stage: Stage) -> None:
    """An origin that thinks for longer than `origin.read_timeout` is an error with words, in time."""
    file = stage.blob("acme/tiny", "model.safetensors", MIB)
    node = await stage.node(origin__read_timeout="500ms", origin__retries=0)
    stage.faults.add(Delay(20), kinds=("resolve",))
    reading = await stage.read(node, file, deadline=8.0)
    assert reading.ending is Ending.REFUSED, reading
