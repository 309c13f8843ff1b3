"""Reading through the mirror: one download, many readers, right bytes."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path

import pytest

from proxy.config.schema import Disk, StoreSection
from proxy.core.caller import ANONYMOUS, bearer
from proxy.core.clock import SystemClock
from proxy.core.errors import DigestMismatch, OriginBusy, OriginRefused, OriginUnreachable, PenstockError, Stalled
from proxy.core.rights import Plane
from proxy.core.secret import Secret
from proxy.core.sizes import CHUNK, KIB, MIB
from proxy.core.spans import Span
from proxy.fetch.coordinator import CacheOutcome
from proxy.fetch.reading import ByteSource, FilePiece
from proxy.store.blobstore import BlobStore
from tests.kit.waiting import until

from .rig import REPO, Rig, content

SIZE = 9 * MIB + 12_345


@pytest.fixture
def big(rig: Rig) -> bytes:
    rig.origin.files["model.safetensors"] = content(SIZE)
    return rig.origin.files["model.safetensors"]


async def idle(rig: Rig) -> None:
    """Wait until no flight is under way."""
    await until(lambda: len(rig.mirror.flights) == 0, "no flight under way")


async def test_a_cold_read_fetches_every_byte_once_and_a_warm_one_none(rig: Rig, big: bytes) -> None:
    cold = await rig.read("model.safetensors")
    warm = await rig.read("model.safetensors")
    assert cold.body == warm.body == big
    assert (cold.cache, warm.cache) == (CacheOutcome.MISS, CacheOutcome.HIT)
    assert (cold.sources, warm.sources) == ({ByteSource.FILL: SIZE}, {ByteSource.DISK: SIZE})
    assert warm.verified
    assert rig.origin.sent == rig.counts.received == SIZE


async def test_a_file_is_lent_while_it_is_read_when_it_is_proven_whole(rig: Rig, big: bytes) -> None:
    located = rig.located("model.safetensors")
    part = Span(MIB + 5, 2 * MIB)
    async with rig.mirror.read(ANONYMOUS, located, part):
        assert rig.mirror.lend(located) is None  # there is more of it to come
    await rig.read("model.safetensors")
    await idle(rig)
    assert rig.mirror.lend(located) is None  # nobody reads it
    async with rig.mirror.read(ANONYMOUS, located, part):
        held = rig.mirror.lend(located)
    assert held is not None
    piece = held.piece(part.start, part.stop)
    assert piece is not None
    assert os.pread(piece.fd, piece.length, piece.offset) == big[part.start : part.stop]
    assert (piece.length, piece.source) == (len(part), ByteSource.DISK)
    assert located.facts.key is not None
    await rig.mirror.purge(located.facts.key)
    assert held.dropped
    assert held.piece(part.start, part.stop) is None
    held.release()


async def test_readers_at_the_same_time_share_one_download(rig: Rig, big: bytes) -> None:
    reads = await asyncio.gather(*(rig.read("model.safetensors") for _ in range(20)))
    assert all(read.body == big for read in reads)
    assert rig.origin.sent == SIZE
    assert rig.counts.waiting == 0


async def test_a_reader_gets_its_first_bytes_before_a_chunk_is_whole(rig: Rig, big: bytes) -> None:
    rig.origin.hold_at = 128 * KIB
    async with rig.mirror.read(bearer(Secret("t"), b"k"), rig.located("model.safetensors"), Span(0, SIZE)) as reading:
        pieces = reading.pieces()
        first = await asyncio.wait_for(anext(pieces), 2)
        assert 0 < first.length <= 128 * KIB < CHUNK
        rig.origin.gate.set()
        await pieces.aclose()


async def test_other_downloads_begin_when_the_reader_has_had_its_first_bytes(rig: Rig, big: bytes) -> None:
    rig.origin.hold_at = 128 * KIB
    async with rig.mirror.read(ANONYMOUS, rig.located("model.safetensors"), Span(0, SIZE)) as reading:
        pieces = reading.pieces()
        await asyncio.wait_for(anext(pieces), 2)
        assert rig.origin.spans == [Span(0, 2 * MIB)]

        async def go_on() -> None:
            async for _ in pieces:
                pass

        rest = rig.tasks.start(go_on(), "the rest")
        await until(lambda: len(rig.origin.spans) == 2, "another download has begun")
        rig.origin.gate.set()
        await asyncio.wait_for(rest, 5)


async def test_a_cold_range_costs_its_chunks_and_no_more(rig: Rig, big: bytes) -> None:
    read = await rig.read("model.safetensors", Span(SIZE - 1000, SIZE))
    assert read.body == big[-1000:]
    assert not read.verified
    assert rig.origin.spans == [Span(9 * MIB, SIZE)]


async def test_a_range_ahead_of_the_write_mark_does_not_wait_for_what_is_before_it(rig: Rig, big: bytes) -> None:
    rig.origin.hold_at = 0
    first = rig.tasks.start(rig.read("model.safetensors", Span(0, MIB)), "first")
    await asyncio.sleep(0.02)
    rig.origin.hold_at = None
    read = await asyncio.wait_for(rig.read("model.safetensors", Span(8 * MIB, 8 * MIB + 10)), 2)
    assert read.body == big[8 * MIB : 8 * MIB + 10]
    rig.origin.gate.set()
    assert (await first).body == big[:MIB]


async def test_what_is_missing_is_fetched_and_what_is_present_is_not(rig: Rig, big: bytes) -> None:
    await rig.read("model.safetensors", Span(3 * MIB, 5 * MIB))
    read = await rig.read("model.safetensors")
    assert read.body == big
    assert rig.origin.sent == SIZE
    assert read.sources == {ByteSource.DISK: 2 * MIB, ByteSource.FILL: SIZE - 2 * MIB}


async def test_a_reader_that_leaves_stops_nobody(rig: Rig, big: bytes) -> None:
    rig.origin.hold_at = MIB
    leaver = rig.tasks.start(rig.read("model.safetensors"), "leaver")
    stayer = rig.tasks.start(rig.read("model.safetensors"), "stayer")
    await asyncio.sleep(0.05)
    leaver.cancel()
    await asyncio.sleep(0.02)
    rig.origin.gate.set()
    assert (await asyncio.wait_for(stayer, 5)).body == big
    assert rig.origin.sent == SIZE


async def test_a_download_nobody_wants_stops_and_keeps_what_it_has(rig: Rig, big: bytes) -> None:
    rig.origin.hold_at = 2 * MIB
    leaver = rig.tasks.start(rig.read("model.safetensors"), "leaver")
    await until(lambda: rig.counts.received >= 2 * MIB, "the origin has sent so much")
    leaver.cancel()
    await idle(rig)
    assert rig.counts.received < SIZE
    rig.origin.hold_at, sent = None, rig.origin.sent
    assert (await rig.read("model.safetensors")).body == big
    assert rig.origin.sent - sent <= SIZE - MIB, "the chunks that were whole stayed"


async def test_an_abandoned_download_with_little_missing_is_finished(rig: Rig) -> None:
    rig.origin.files["small.bin"] = content(2 * MIB)
    rig.origin.hold_at = MIB + 64 * KIB
    leaver = rig.tasks.start(rig.read("small.bin"), "leaver")
    async with rig.store.open_blob(rig.located("small.bin").facts.record(REPO)) as blob:
        await until(lambda: blob.missing(Span(0, 2 * MIB)) == (Span(MIB, 2 * MIB),), "the first chunk is there")
    leaver.cancel()
    await asyncio.sleep(0.02)
    rig.origin.gate.set()
    await idle(rig)
    sent = rig.origin.sent
    read = await rig.read("small.bin")
    assert (read.cache, read.verified) == (CacheOutcome.HIT, True)
    assert rig.origin.sent == sent == 2 * MIB


async def test_a_wrong_body_never_ends_and_is_fetched_anew(rig: Rig, big: bytes) -> None:
    rig.origin.spoil_at = 4 * MIB
    with pytest.raises(PenstockError):
        await rig.read("model.safetensors")
    await idle(rig)
    rig.origin.spoil_at = None
    assert (await rig.read("model.safetensors")).body == big


async def test_a_file_that_comes_wrong_again_is_left_alone_for_a_minute(rig: Rig, big: bytes) -> None:
    rig.origin.spoil_at = 4 * MIB
    for _ in range(2):
        with pytest.raises(PenstockError):
            await rig.read("model.safetensors")
        await idle(rig)
    sent = rig.origin.sent
    with pytest.raises(DigestMismatch):
        await rig.read("model.safetensors")
    assert rig.origin.sent == sent
    rig.clock.advance(61)
    rig.origin.spoil_at = None
    assert (await rig.read("model.safetensors")).body == big


async def test_all_readers_of_a_wrong_body_are_told(rig: Rig, big: bytes) -> None:
    rig.origin.spoil_at = 4 * MIB
    outcomes = await asyncio.gather(*(rig.read("model.safetensors") for _ in range(5)), return_exceptions=True)
    assert all(isinstance(outcome, PenstockError) for outcome in outcomes)
    await idle(rig)


async def test_an_error_of_the_origin_is_shared_by_all_who_wait(rig: Rig, big: bytes) -> None:
    rig.origin.fail_at = (0, OriginUnreachable("connection reset"))
    outcomes = await asyncio.gather(*(rig.read("model.safetensors") for _ in range(30)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {OriginUnreachable}
    assert rig.origin.asked["body"] <= 10, "a try per span under way, and for those who came later; not one per reader"


async def test_who_has_bytes_already_waits_while_the_origin_rests(rig: Rig, big: bytes) -> None:
    rig.origin.fail_at = (6 * MIB, OriginBusy("slow down", 1))
    reader = rig.tasks.start(rig.read("model.safetensors"), "reader")
    await until(lambda: rig.counts.results["put_off"] > 0, "the origin asks for a rest")
    with pytest.raises(OriginBusy):
        await rig.read("model.safetensors", Span(7 * MIB, 8 * MIB))
    rig.origin.fail_at = None
    assert (await reader).body == big


async def test_a_refusal_of_one_readers_token_does_not_end_the_others(rig: Rig, big: bytes) -> None:
    revoked, member = bearer(Secret("revoked"), b"k"), bearer(Secret("member"), b"k")
    refusal = OriginRefused(403, "no", code="GatedRepo")
    rig.origin.refuse = lambda caller: refusal if caller == revoked else None
    rig.origin.hold_at = 0
    first = rig.tasks.start(rig.read("model.safetensors", caller=member), "member")
    await until(lambda: rig.origin.asked["body"] > 0, "the member's download is under way")
    second = rig.tasks.start(rig.read("model.safetensors", Span(8 * MIB, SIZE), caller=revoked), "revoked")
    await asyncio.wait([second], timeout=0.2)
    rig.origin.gate.set()
    assert (await first).body == big
    await asyncio.wait([second])


async def test_a_reader_whose_token_is_refused_is_told_so(rig: Rig, big: bytes) -> None:
    refusal = OriginRefused(403, "no", code="GatedRepo")
    rig.origin.refuse = lambda caller: refusal
    with pytest.raises(OriginRefused) as caught:
        await rig.read("model.safetensors")
    assert caught.value is refusal


async def test_a_small_file_is_fetched_once_proven_and_kept(rig: Rig) -> None:
    rig.origin.files["config.json"] = b'{"a": 1}'
    rig.origin.git_files.add("config.json")
    reads = await asyncio.gather(*(rig.read("config.json") for _ in range(10)))
    assert {read.body for read in reads} == {b'{"a": 1}'}
    assert rig.origin.asked["body"] == 1
    warm = await rig.read("config.json", Span(2, 5))
    assert (warm.body, warm.cache) == (b'a":', CacheOutcome.HIT)


async def test_a_small_file_that_is_wrong_is_not_kept(rig: Rig) -> None:
    rig.origin.files["config.json"] = b'{"a": 1}'
    rig.origin.spoil_at = 3
    with pytest.raises(DigestMismatch):
        await rig.read("config.json")
    rig.origin.spoil_at = None
    assert (await rig.read("config.json")).body == b'{"a": 1}'


async def test_ranges_read_one_after_another_are_fetched_ahead(rig: Rig, big: bytes) -> None:
    await rig.read("model.safetensors", Span(0, MIB))
    await rig.read("model.safetensors", Span(MIB, 2 * MIB))
    await idle(rig)
    ahead = await rig.read("model.safetensors", Span(2 * MIB, 3 * MIB))
    assert ahead.cache is CacheOutcome.HIT
    assert ahead.body == big[2 * MIB : 3 * MIB]


async def test_every_await_of_a_read_may_be_its_last(rig: Rig, big: bytes) -> None:
    """A reader is cancelled at its n-th step, for every n: nothing stays claimed, the next one reads."""
    for steps in range(60):
        task = rig.tasks.start(rig.read("model.safetensors"), "doomed")
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    assert (await asyncio.wait_for(rig.read("model.safetensors"), 5)).body == big
    await idle(rig)


async def test_a_range_goes_on_by_relay_where_the_room_ends(tmp_path: Path, big: bytes) -> None:
    """Also the range that would complete the blob: it is the resumption of a whole that broke off for lack of room."""
    section = StoreSection(disks=(Disk(path=tmp_path / "tiny", size=5 * MIB),), free_floor=0)
    async with (
        BlobStore.open(section, clock=SystemClock(), node="test", worker=9) as store,
        Rig.open(store, tmp_path / "other-state") as small,
    ):
        small.origin.files["model.safetensors"] = big
        await small.read("model.safetensors", Span(0, 3 * MIB))
        rest = await small.read("model.safetensors", Span(2 * MIB, SIZE))
        assert rest.body == big[2 * MIB :]
        assert rest.sources[ByteSource.DISK] == MIB
        assert rest.sources[ByteSource.RELAY] >= 4 * MIB


async def test_a_whole_that_no_disk_can_hold_is_relayed_and_proven(tmp_path: Path, big: bytes) -> None:
    section = StoreSection(disks=(Disk(path=tmp_path / "tiny", size=4 * MIB),), free_floor=0)
    async with (
        BlobStore.open(section, clock=SystemClock(), node="test", worker=9) as store,
        Rig.open(store, tmp_path / "other-state") as small,
    ):
        small.origin.files["model.safetensors"] = big
        got = await small.read("model.safetensors")
        assert (got.body, got.sources) == (big, Counter({ByteSource.RELAY: SIZE}))
        small.origin.spoil_at = SIZE - 1
        with pytest.raises(DigestMismatch):
            await small.read("model.safetensors")


async def test_who_comes_while_the_origin_rests_is_told_at_once(rig: Rig, big: bytes) -> None:
    rig.origin.fail_at = (6 * MIB, OriginBusy("slow down", 2))
    reader = rig.tasks.start(rig.read("model.safetensors"), "reader")
    await until(lambda: rig.counts.results["put_off"] > 0, "the origin asks for a rest")
    with pytest.raises(OriginBusy) as caught:
        async with asyncio.timeout(1):
            await rig.read("model.safetensors", Span(6 * MIB + 5, 7 * MIB))
    assert caught.value.retry_after == 2
    assert (await rig.read("model.safetensors", Span(0, MIB))).body == big[:MIB], "what is here is given"
    rig.origin.fail_at = None
    assert (await reader).body == big


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
async def test_a_first_byte_that_does_not_come_is_an_answer_before_the_client_gives_up(
    store: BlobStore, tmp_path: Path, name: str
) -> None:
    async with Rig.open(store, tmp_path / "state-2", first_byte=0.2) as rig:
        rig.origin.files[name] = content(4 * MIB if name.startswith("model") else 700)
        rig.origin.hold_at = 0
        with pytest.raises(Stalled):
            async with asyncio.timeout(2):
                await rig.read(name)
        rig.origin.gate.set()
        assert (await rig.read(name)).body == rig.origin.files[name]


async def test_a_refusal_of_the_bytes_closes_the_repo_too(rig: Rig, big: bytes) -> None:
    await rig.catalogue.keep_public(REPO, Plane.FILES)
    rig.origin.refuse = lambda caller: OriginRefused(401, "restricted", code="GatedRepo")
    with pytest.raises(OriginRefused):
        await rig.read("model.safetensors")
    assert rig.catalogue.public_since(REPO, Plane.FILES) is None


async def test_a_span_that_failed_far_ahead_ends_nobody_who_is_not_there_yet(
    rig: Rig, big: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    def has_failed() -> bool:
        """... and those it concerns have been told."""
        return any(
            record.span.startswith(f"[{6 * MIB},") for record in caplog.records if record.message == "fill failed"
        )

    rig.origin.fail_at = (6 * MIB, OriginUnreachable("connection reset"))
    async with rig.mirror.read(ANONYMOUS, rig.located("model.safetensors"), Span(0, SIZE)) as reading:
        got = 0
        async for piece in reading.pieces():
            assert isinstance(piece, FilePiece)
            # It stands at its first piece until the span far ahead has failed.
            await until(has_failed, "the span far ahead fails")
            rig.origin.fail_at = None
            got += piece.length
    assert got == SIZE


async def test_a_blob_dropped_before_its_first_byte_is_opened_anew(rig: Rig, big: bytes) -> None:
    rig.origin.hold_at = 0
    reading = asyncio.create_task(rig.read("model.safetensors"))
    await until(lambda: rig.origin.asked["body"] > 0, "a download under way")
    await rig.store.drop(rig.origin.facts("model.safetensors").key, "purged")
    rig.origin.gate.set()
    assert (await reading).body == big


async def test_an_answer_that_was_garbled_once_is_asked_for_again(rig: Rig, big: bytes) -> None:
    rig.origin.mangle_next = 1
    assert (await rig.read("model.safetensors")).body == big


async def read_two_ranges(rig: Rig) -> None:
    """... one after the other, so that the next ones are fetched ahead."""
    for start in (0, MIB):
        await rig.read("model.safetensors", Span(start, start + MIB))


async def test_read_ahead_is_put_off_while_the_origin_is_short_of_requests(rig: Rig, big: bytes) -> None:
    rig.origin.is_scarce, rig.origin.scarce_for = True, 1
    await read_two_ranges(rig)
    await until(lambda: rig.counts.results["put_off"] > 0, "the first try ahead")
    assert rig.origin.sent == 2 * MIB, "nobody waits for more"
    rig.origin.is_scarce = False
    await idle(rig)
    assert rig.origin.sent >= 6 * MIB, "it is taken up again"
    assert (await rig.read("model.safetensors", Span(2 * MIB, 6 * MIB))).cache is CacheOutcome.HIT


async def test_a_reader_who_comes_to_what_is_put_off_has_it_fetched_at_once(rig: Rig, big: bytes) -> None:
    rig.origin.is_scarce, rig.origin.scarce_for = True, 600
    await read_two_ranges(rig)
    await until(lambda: rig.counts.results["put_off"] > 0, "the first try ahead")
    async with asyncio.timeout(5):
        assert (await rig.read("model.safetensors")).body == big


async def test_finishing_what_was_abandoned_is_put_off_too(store: BlobStore, tmp_path: Path) -> None:
    async with Rig.open(store, tmp_path / "state-2", finish_below=4 * MIB) as rig:
        rig.origin.files["model.safetensors"] = content(6 * MIB)
        rig.origin.hold_at = 3 * MIB + 64 * KIB
        leaver = rig.tasks.start(rig.read("model.safetensors", Span(0, 4 * MIB)), "leaver")
        async with rig.store.open_blob(rig.located("model.safetensors").facts.record(REPO)) as blob:
            await until(lambda: blob.missing(Span(0, 3 * MIB)) == (), "little is missing")
            rig.origin.is_scarce, rig.origin.scarce_for = True, 1
            leaver.cancel()
            await asyncio.wait([leaver])
            rig.origin.gate.set()
            await until(lambda: rig.counts.results["put_off"] > 0, "the first try to finish")
            assert rig.origin.sent == 4 * MIB, "what was under way is ended, what was not is not begun"
            rig.origin.is_scarce = False
            await until(lambda: blob.sealed, "it is finished")
            assert rig.origin.sent == 6 * MIB
