"""What clients do with an answer, against a peer that says exactly what the test says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from bench.hub.content import SyntheticBlob
from bench.load.catalogue import File, Repo
from bench.load.client import Client, Shop
from bench.load.tally import Tally
from bench.load.verify import Checker
from bench.load.wire import Surroundings
from bench.load.workload import Session, Whole, Wish
from bench.record import Check

SIZE = 300_000
FILE = File("model.safetensors", SIZE, "a seed", linked=True)
SESSION = Session(Repo("acme/tiny", "c" * 40, (FILE,)), (Wish(FILE, Whole()),))
BLOB = SyntheticBlob(FILE.seed, SIZE)
BODY = BLOB.read(0, SIZE)
TAG = f'"{BLOB.sha256}"'.encode()
WRONG = b"\xff" + BODY[1:]


def whole(body: bytes = BODY) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nETag: %s\r\n\r\n%s" % (SIZE, TAG, body)


def rest(start: int, stop: int) -> bytes:
    head = b"HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\nETag: %s\r\nContent-Range: bytes %d-%d/%d\r\n\r\n"
    return head % (SIZE - start, TAG, start, SIZE - 1, SIZE) + BODY[start:stop]


class Mirror:
    """Gives one of its answers for each connection, in order, and closes it; keeps what it was asked."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[tuple[str, int]]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(self._answers.pop(0))
            await writer.drain()
        writer.close()


async def acted(mirror: Mirror, *, returns: int = 0, nobody_at: tuple[str, int] | None = None) -> Tally:
    """What was counted of one session."""
    loop = asyncio.get_running_loop()
    tally = Tally(loop.time)
    around = Surroundings(loop, 10.0)
    async with mirror.listening() as address:
        addresses = [address] if nobody_at is None else [nobody_at, address]
        shop = Shop(around, addresses, returns, Checker(), Check.FULL, hash_again=False, tally=tally, pool=None)
        client = Client(shop, "one", 0)
        await client.act(SESSION, around.now())
        client.close()
    return tally


async def test_a_file_that_comes_whole_is_compared_to_the_last_byte() -> None:
    tally = await acted(Mirror(whole()))
    totals = tally.totals
    assert (totals.requests, totals.received, totals.checked, totals.files_checked) == (1, SIZE, SIZE, 1)
    assert totals.failures == {}


async def test_who_is_cut_off_comes_again_for_the_rest_if_it_is_the_same_file() -> None:
    mirror = Mirror(whole(BODY[:100_000]), rest(100_000, 250_000), rest(250_000, SIZE))
    totals = (await acted(mirror, returns=2)).totals
    assert totals.failures == {}
    assert (totals.returned, totals.files_checked, totals.received, totals.checked) == (2, 1, SIZE, SIZE)
    assert f"Range: bytes=100000-{SIZE - 1}\r\nIf-Range: {TAG.decode()}\r\n" in mirror.asked[1]
    assert f"Range: bytes=250000-{SIZE - 1}\r\n" in mirror.asked[2]


async def test_who_does_not_come_again_has_failed() -> None:
    totals = (await acted(Mirror(whole(BODY[:100_000])))).totals
    assert totals.failures["broken"].count == 1
    assert totals.cuts == 1


async def test_coming_again_has_an_end() -> None:
    totals = (await acted(Mirror(b"", b"", b""), returns=2)).totals
    assert (totals.returned, totals.failures["broken"].count) == (2, 1)


async def test_where_nobody_listens_the_next_mirror_is_asked() -> None:
    totals = (await acted(Mirror(whole()), nobody_at=("127.0.0.1", 1))).totals
    assert totals.failures == {}


async def test_a_wrong_byte_in_a_whole_answer_is_a_wrong_byte() -> None:
    totals = (await acted(Mirror(whole(WRONG)), returns=2)).totals
    assert totals.wrong == 1
    assert totals.failures["wrong byte"].example.startswith("GET /acme/tiny/resolve/")


async def test_a_mirror_that_breaks_off_after_a_wrong_byte_has_told_so() -> None:
    totals = (await acted(Mirror(whole(WRONG[:100_000])), returns=2)).totals
    assert (totals.wrong, totals.returned) == (0, 0)
    assert totals.failures["broken"].count == 1


async def test_what_waits_before_its_turn_counts_in_the_first_byte_and_not_in_the_service() -> None:
    """Latency from the intended start: a generator, or a mirror, that is behind cannot hide it."""
    loop = asyncio.get_running_loop()
    tally = Tally(loop.time)
    around = Surroundings(loop, 10.0)
    async with Mirror(whole()).listening() as address:
        shop = Shop(around, [address], 0, Checker(), Check.FULL, hash_again=False, tally=tally, pool=None)
        client = Client(shop, "one", 0)
        await client.act(SESSION, around.now() - 5.0)
        client.close()
    first_byte, service, _ = tally.second.measures["whole"]
    assert first_byte[0] > 5.0
    assert service[0] < 5.0


async def test_who_found_nobody_at_first_has_waited_since_then() -> None:
    tally = await acted(Mirror(b"", whole()), returns=1)
    first_byte, _, _ = tally.second.measures["whole"]
    assert first_byte[0] >= 0.1, "the first delay before a client comes again"


@pytest.mark.parametrize("status", [b"404 Not Found", b"503 Service Unavailable"])
async def test_a_refusal_is_an_error_of_its_status(status: bytes) -> None:
    answer = b"HTTP/1.1 %s\r\nContent-Length: 5\r\n\r\nsorry" % status
    totals = (await acted(Mirror(answer), returns=2)).totals
    assert totals.failures[f"status {status[:3].decode()}"].count == 1
