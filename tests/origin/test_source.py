"""Bytes come exactly or not at all, whatever the store does in between."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from proxy.core.caller import bearer
from proxy.core.errors import (
    OriginBusy,
    OriginLied,
    OriginRefused,
    OriginUnreachable,
    PenstockError,
    RangeMangled,
    SourceChanged,
)
from proxy.core.secret import Secret
from proxy.core.spans import Span, whole
from proxy.hub.facts import FileFacts
from tests.origin.liar import (
    CONTENT,
    FACTS,
    SHA256,
    Asked,
    Liar,
    Said,
    Script,
    Stage,
    answer,
    chunked,
    client_of,
    config,
    gather,
    honest_store,
    hub_before,
    ranged,
    redirect,
    stage,
    taken,
    until,
)

WANTED = Span(1000, 5000)
BYTES = CONTENT[1000:5000]
ANN = bearer(Secret("hf_ann"), b"key")


def partial(*fields: tuple[str, str], body: bytes = BYTES, then: str = "keep") -> Script:
    """A store that answers every request with this 206 for WANTED."""
    return lambda asked: answer("206 Partial Content", fields, body, then=then)


def entire(*fields: tuple[str, str], body: bytes = CONTENT) -> Script:
    return lambda asked: answer("200 OK", fields, body)


def says(content: bytes) -> Script:
    return lambda asked: Said(content, "close")


CHUNKED = ("Transfer-Encoding", "chunked")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
BOTH_LENGTHS = b"Content-Length: 4000\r\nTransfer-Encoding: chunked\r\n\r\n"
HEAD_206 = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1000-4999/10000\r\n"

ACCEPTED: dict[str, Script] = {
    "a right 206": honest_store,
    "a right 206 without a length": partial(*ranged(WANTED), CHUNKED, body=chunked(BYTES)),
    "the whole in place of the range": entire(("ETag", '"v1"')),
    "the whole without a length": entire(CHUNKED, body=chunked(CONTENT)),
    "no ETag at all": partial(("Content-Range", "bytes 1000-4999/10000")),
    "a weak ETag": partial(("Content-Range", "bytes 1000-4999/10000"), ("ETag", 'W/"v1"')),
    "a coding that is none": partial(*ranged(WANTED), ("Content-Encoding", "identity")),
    "several equal Content-Range fields": partial(*ranged(WANTED), *ranged(WANTED)[:1]),
    "ten interim answers": says(CONTINUE * 10 + HEAD_206 + b"Content-Length: 4000\r\n\r\n" + BYTES),
}


@pytest.mark.parametrize("store", ACCEPTED.values(), ids=ACCEPTED.keys())
async def test_an_answer_that_is_the_range_is_taken(store: Script) -> None:
    async with stage(store) as on:
        assert await taken(on.source(), WANTED) == BYTES
        assert len(on.store.asked) == 1


LIES: dict[str, tuple[Script, type[PenstockError]]] = {
    "no Content-Range": (partial(("ETag", '"v1"')), RangeMangled),
    "another start": (partial(*ranged(Span(1001, 5001))), RangeMangled),
    "a shorter range": (partial(*ranged(Span(1000, 4999)), body=BYTES[:-1]), RangeMangled),
    "an unknown complete length": (partial(("Content-Range", "bytes 1000-4999/*")), RangeMangled),
    "another complete length": (partial(("Content-Range", "bytes 1000-4999/10001")), SourceChanged),
    "a Content-Range in other units": (partial(("Content-Range", "octets 1000-4999/10000")), RangeMangled),
    "a Content-Range of absurd length": (partial(("Content-Range", f"bytes {'9' * 400}-4999/10000")), RangeMangled),
    "more bytes announced": (partial(*ranged(WANTED), body=BYTES + b"x"), RangeMangled),
    "fewer bytes announced": (partial(*ranged(WANTED), body=BYTES[:-1]), RangeMangled),
    "more bytes, unannounced": (partial(*ranged(WANTED), CHUNKED, body=chunked(BYTES + b"x" * 2000)), RangeMangled),
    "multipart": (partial(*ranged(WANTED), ("Content-Type", "multipart/byteranges; boundary=x")), RangeMangled),
    "gzip": (partial(*ranged(WANTED), ("Content-Encoding", "gzip")), RangeMangled),
    "two ETags": (partial(*ranged(WANTED), ("ETag", '"v2"')), RangeMangled),
    "two Content-Ranges": (partial(*ranged(WANTED), *ranged(Span(0, 4000))[:1]), RangeMangled),
    "another whole": (entire(body=CONTENT + b"x"), SourceChanged),
    "a gzipped whole": (entire(("Content-Encoding", "gzip")), RangeMangled),
    "416 inside the file": (lambda _: answer("416 No", (("Content-Range", "bytes */10000"),)), RangeMangled),
    "416 of another length": (lambda _: answer("416 No", (("Content-Range", "bytes */900"),)), SourceChanged),
    "204": (lambda _: Said(b"HTTP/1.1 204 No Content\r\n\r\n"), RangeMangled),
    "418": (lambda _: answer("418 Teapot"), RangeMangled),
    "status 099": (says(b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n"), OriginLied),
    "no HTTP": (says(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), OriginLied),
    "two lengths": (says(HEAD_206 + b"Content-Length: 4000\r\nContent-Length: 9\r\n\r\n" + BYTES), OriginLied),
    "length and chunks": (says(HEAD_206 + BOTH_LENGTHS + chunked(BYTES)), OriginLied),
    "a length with a sign": (says(HEAD_206 + b"Content-Length: +4000\r\n\r\n" + BYTES), OriginLied),
    "a field of 20 KB": (says(HEAD_206 + b"X: " + b"y" * 20_000 + b"\r\n\r\n" + BYTES), OriginLied),
    "a thousand fields": (says(HEAD_206 + b"X: y\r\n" * 1000 + b"\r\n" + BYTES), OriginLied),
    "a redirect to nowhere": (lambda _: answer("302 Found"), OriginLied),
    "a redirect to itself": (lambda asked: redirect(asked.target), OriginLied),
}  # fmt: skip


@pytest.mark.parametrize(("store", "expected"), LIES.values(), ids=LIES.keys())
async def test_an_answer_that_is_not_the_range_is_refused(store: Script, expected: type[PenstockError]) -> None:
    async with stage(store) as on:
        got = bytearray()
        with pytest.raises(expected) as raised:
            await gather(on.source(), WANTED, got)
        assert BYTES.startswith(bytes(got)), "what was given before the lie showed is right"
        assert "s3cr3t" not in str(raised.value)
        assert len(on.store.asked) <= 3, "a lie is not asked for again"


def faltering(*first: Script) -> Script:
    """A store that answers its first requests by these scripts, later ones honestly."""
    scripts = iter(first)
    return lambda asked: next(scripts, honest_store)(asked)  # noqa: PLW0108 - one step for each request


def cut(after: int, *, then: str = "close") -> Script:
    """A right 206 that ends too early."""

    def script(asked: Asked) -> Said:
        said = honest_store(asked)
        head = said.content.index(b"\r\n\r\n") + 4
        return Said(said.content[: head + after], then)

    return script


def clean_end(after: int) -> Script:
    """A chunked 206 that ends too early as if it were whole."""

    def script(asked: Asked) -> Said:
        assert asked.span is not None
        body = CONTENT[asked.span.start : asked.span.stop][:after]
        return answer("206 Partial Content", (*ranged(asked.span), CHUNKED), chunked(body))

    return script


FAILURES: dict[str, Script] = {
    "a cut before the first byte": cut(0),
    "a cut after one byte": cut(1),
    "a cut before the last byte": cut(3999),
    "a clean end too early": clean_end(1234),
    "a whole that ends too early": says(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n" + CONTENT[:3000]),
    "broken chunks": lambda asked: answer("206 Partial Content", (*ranged(WANTED), CHUNKED), b"5\r\n", then="close"),
    "a closed connection": lambda _: Said(b"", "close"),
    "500": lambda _: answer("500 Oops"),
    "503": lambda _: answer("503 Slow Down"),
    "408": lambda _: answer("408 Timeout"),
}  # fmt: skip


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
async def test_a_cut_is_healed_at_the_exact_offset(failure: Script) -> None:
    async with stage(faltering(failure, failure)) as on:
        assert await taken(on.source(), WANTED) == BYTES


async def test_a_resumed_transfer_asks_for_the_rest_under_the_pinned_etag() -> None:
    async with stage(faltering(cut(1500))) as on:
        assert await taken(on.source(), WANTED) == BYTES
        first, second = on.store.asked
        assert first.span == WANTED
        assert "if-range" not in first.headers
        assert second.span == Span(2500, 5000)
        assert second.headers["if-range"] == '"v1"'


async def test_silence_counts_as_a_cut() -> None:
    async with stage(faltering(cut(1500, then="silence")), read_timeout=0.2) as on:
        assert await taken(on.source(), WANTED) == BYTES


async def test_progress_renews_the_patience() -> None:
    async with stage(faltering(*[cut(100)] * 20)) as on:
        assert await taken(on.source(), WANTED) == BYTES
        assert len(on.store.asked) == 21


async def test_failures_without_progress_end_after_the_retries() -> None:
    async with stage(lambda _: answer("503 Slow Down")) as on:
        with pytest.raises(OriginUnreachable):
            await taken(on.source(), WANTED)
        assert len(on.store.asked) == 4


async def test_a_store_that_gives_a_byte_at_a_time_is_left_at_last() -> None:
    async with stage(cut(1)) as on:
        with pytest.raises(OriginUnreachable):
            await taken(on.source(), WANTED)
        assert len(on.store.asked) <= 101


async def test_another_etag_in_a_later_read_is_another_generation() -> None:
    async with stage() as on:
        source = on.source()
        await taken(source, Span(0, 100))
        on.store.script = partial(("Content-Range", "bytes 1000-4999/10000"), ("ETag", '"v2"'))
        with pytest.raises(SourceChanged):
            await taken(source, WANTED)


async def test_a_whole_under_another_etag_is_another_generation() -> None:
    async with stage() as on:
        source = on.source()
        await taken(source, Span(0, 100))
        on.store.script = entire(("ETag", '"v2"'))
        with pytest.raises(SourceChanged):
            await taken(source, WANTED)


async def test_a_file_that_changed_between_cut_and_resumption_is_never_mixed() -> None:
    async with stage(faltering(cut(1500), entire(("ETag", '"v2"')))) as on:
        got = bytearray()
        with pytest.raises(SourceChanged):
            await gather(on.source(), WANTED, got)
        assert bytes(got) == BYTES[:1500]


async def test_an_expired_address_is_renewed_where_the_transfer_stood() -> None:
    expired = lambda _: answer("403 Forbidden", body=b"<Error>Request has expired</Error>")  # noqa: E731
    async with stage(faltering(cut(1500), expired)) as on:
        assert await taken(on.source(), WANTED) == BYTES
        targets = [asked.target for asked in on.store.asked]
        assert len(on.hub.asked) == 2
        assert targets[0] == targets[1] != targets[2]
        assert on.store.asked[2].span == Span(2500, 5000)


@pytest.mark.parametrize("status", ["401 A", "403 B", "404 C", "410 D"])
async def test_an_address_refused_again_and_again_ends_in_an_error(status: str) -> None:
    async with stage(lambda _: answer(status)) as on:
        with pytest.raises(OriginUnreachable):
            await taken(on.source(), WANTED)
        assert len(on.store.asked) <= 6


async def test_an_address_found_anew_is_not_thrown_away_by_a_late_refusal_of_the_old_one() -> None:
    late = asyncio.Event()

    def script(asked: Asked) -> Said:
        if asked.target != on.store.asked[0].target:
            return honest_store(asked)
        refused = answer("403 Forbidden")
        return Said(refused.content, when=late) if asked.span == WANTED else refused

    async with stage(script) as on:
        source = on.source()
        async with asyncio.TaskGroup() as readers:
            slow = readers.create_task(taken(source, WANTED))
            await until(lambda: len(on.store.asked) == 1)
            assert await taken(source, Span(0, 10)) == CONTENT[:10]
            late.set()
        assert slow.result() == BYTES
        assert len(on.hub.asked) == 2


async def test_an_expiry_after_progress_is_no_failure() -> None:
    expired = lambda _: answer("403 Forbidden")  # noqa: E731
    async with stage(faltering(*[cut(100), expired] * 10), retries=1) as on:
        assert await taken(on.source(), WANTED) == BYTES


async def test_reads_of_one_source_share_one_address() -> None:
    async with stage() as on:
        source = on.source()
        spans = [Span(start, start + 500) for start in range(0, 10_000, 500)]
        got = await asyncio.gather(*(taken(source, span) for span in spans))
        assert b"".join(got) == CONTENT
        assert len(on.hub.asked) == 1


async def test_a_reader_that_leaves_while_the_address_is_found_harms_no_other() -> None:
    async with stage() as on:
        honest = on.hub.script
        on.hub.script = lambda _: Said(b"", "silence")
        source = on.source()
        async with asyncio.TaskGroup() as readers:
            leaving = readers.create_task(taken(source, WANTED))
            staying = readers.create_task(taken(source, WANTED))
            await until(lambda: len(on.hub.asked) == 1)
            on.hub.script = honest
            leaving.cancel()
        assert staying.result() == BYTES


async def test_leaving_early_closes_the_connection() -> None:
    async with stage(cut(1500, then="silence")) as on:
        async with contextlib.aclosing(on.source().read(WANTED)) as pieces:
            await anext(pieces)
        async with asyncio.timeout(5):
            await on.store.all_closed.wait()


async def test_a_cancelled_read_closes_the_connection_and_gives_its_turn_back() -> None:
    async with stage(cut(1500, then="silence"), connections_per_host=1) as on:
        source = on.source()
        async with asyncio.TaskGroup() as readers:
            reader = readers.create_task(taken(source, WANTED))
            await until(lambda: len(on.store.asked) == 1)
            reader.cancel()
        async with asyncio.timeout(5):
            await on.store.all_closed.wait()
        on.store.script = honest_store
        assert await taken(source, WANTED) == BYTES


async def test_no_more_transfers_at_once_than_the_host_may_have() -> None:
    async with stage(cut(100, then="silence"), connections_per_host=2) as on:
        source = on.source()
        async with asyncio.TaskGroup() as readers:
            tasks = [readers.create_task(taken(source, WANTED)) for _ in range(6)]
            await until(lambda: len(on.store.asked) == 2)
            for _ in range(20):
                await asyncio.sleep(0)
            assert on.store.connections == 2
            for task in tasks:
                task.cancel()


async def test_connections_are_used_again() -> None:
    async with stage() as on:
        for _ in range(5):
            await taken(on.source(), WANTED)
        assert (on.hub.connections, on.store.connections) == (1, 1)


async def test_more_bytes_than_the_file_has_are_refused() -> None:
    longer = chunked(CONTENT)[:-5] + chunked(b"x")
    async with stage(entire(CHUNKED, body=longer)) as on:
        with pytest.raises(RangeMangled):
            await taken(on.source(), whole(len(CONTENT)))


async def test_an_empty_span_asks_nobody() -> None:
    async with stage() as on:
        assert await taken(on.source(), Span(10, 10)) == b""
        assert on.hub.asked == on.store.asked == []


async def test_a_range_far_into_a_file_of_a_store_without_ranges_is_refused() -> None:
    size = 9 * 1024 * 1024
    facts = FileFacts(SHA256, size, True, FACTS.key)
    linked = (("X-Linked-Etag", f'"{SHA256}"'), ("X-Linked-Size", str(size)))
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode()
    async with stage(lambda _: Said(head, "close")) as on:
        on.hub.script = lambda _: redirect(f"{on.store.url}/x", fields=linked)
        with pytest.raises(RangeMangled):
            await taken(on.source(facts), Span(size - 10, size))


async def test_a_whole_in_many_pieces_is_read_over_up_to_the_span() -> None:
    large = CONTENT * 300
    facts = FileFacts(SHA256, len(large), True, FACTS.key)
    linked = (("X-Linked-Etag", f'"{SHA256}"'), ("X-Linked-Size", str(len(large))))
    async with stage(lambda _: answer("200 OK", (), large)) as on:
        on.hub.script = lambda _: redirect(f"{on.store.url}/x", fields=linked)
        span = Span(2_000_003, 2_900_001)
        assert await taken(on.source(facts), span) == large[span.start : span.stop]


async def test_a_store_that_is_busy_says_so_at_once() -> None:
    async with stage(lambda _: answer("429 Slow", (("Retry-After", "7"),))) as on:
        with pytest.raises(OriginBusy) as raised:
            await taken(on.source(), WANTED)
        assert raised.value.retry_after == 7


async def test_a_busy_store_is_waited_out_in_the_middle_of_a_read() -> None:
    busy = lambda _: answer("429 Slow", (("Retry-After", "7"),))  # noqa: E731
    pauses = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async with (
        Liar.open(faltering(cut(1500), busy)) as store,
        Liar.open(hub_before(store)) as hub,
        client_of(config(hub, store.place), pause=pause) as client,
    ):
        assert await taken(Stage(hub, store, client).source(), WANTED) == BYTES
    assert pauses[-1] == 7


async def test_other_facts_at_the_same_commit_are_another_generation() -> None:
    async with stage() as on:
        with pytest.raises(SourceChanged):
            await taken(on.source(FileFacts("6" * 64, len(CONTENT), True, None)), WANTED)
        assert on.store.asked == []


@pytest.mark.parametrize("status", [401, 403, 404, 410, 451])
async def test_a_refusal_of_the_hub_is_passed_on_with_its_words(status: int) -> None:
    async with stage() as on:
        on.hub.script = lambda _: answer(f"{status} No", (("X-Error-Code", "GatedRepo"), ("X-Error-Message", "ask us")))
        with pytest.raises(OriginRefused) as raised:
            await taken(on.source(), WANTED)
        refusal = raised.value
        assert (refusal.status, refusal.code, refusal.message) == (status, "GatedRepo", "ask us")


async def test_the_token_goes_to_the_hub_and_not_to_the_store() -> None:
    async with stage() as on:
        await taken(on.source(caller=ANN), WANTED)
        assert [asked.headers.get("authorization") for asked in on.hub.asked] == ["Bearer hf_ann"]
        assert [set(asked.headers) for asked in on.store.asked] == [
            {"host", "user-agent", "accept-encoding", "range"},
        ]


async def test_a_presigned_address_is_asked_for_to_the_byte() -> None:
    async with stage() as on:
        await taken(on.source(), WANTED)
        assert on.store.asked[0].target == "/blob?X-Amz-Signature=s3cr3t%2F0"


def git_hub(etag: str, size: int) -> Script:
    """A Hub with one small file, in git."""

    def script(asked: Asked) -> Said:
        if asked.target.startswith("/api/resolve-cache/"):
            assert asked.span is not None
            body = CONTENT[asked.span.start : asked.span.stop]
            fields = (
                ("Content-Range", f"bytes {asked.span.start}-{asked.span.stop - 1}/{size}"),
                ("ETag", f'"{etag}"'),
            )
            return answer("206 Partial Content", fields, body)
        return redirect(f"/api/resolve-cache/models/acme/tiny/x?etag=%22{etag}%22", "307 Temporary Redirect")

    return script


async def test_a_small_file_is_followed_within_the_hub_with_the_token() -> None:
    facts = FileFacts("d" * 40, len(CONTENT), False, None)
    async with Liar.open(git_hub("d" * 40, len(CONTENT))) as hub, client_of(config(hub)) as client:
        assert await taken(Stage(hub, hub, client).source(facts, ANN), whole(len(CONTENT))) == CONTENT
        assert {asked.headers.get("authorization") for asked in hub.asked} == {"Bearer hf_ann"}


async def test_a_small_file_under_another_etag_is_another_generation() -> None:
    facts = FileFacts("d" * 40, len(CONTENT), False, None)
    async with Liar.open(git_hub("e" * 40, len(CONTENT))) as hub, client_of(config(hub)) as client:
        with pytest.raises(SourceChanged):
            await taken(Stage(hub, hub, client).source(facts), whole(len(CONTENT)))


async def test_another_mirror_as_origin_delivers_directly() -> None:
    def mirror(asked: Asked) -> Said:
        assert asked.span is not None
        fields = (*ranged(asked.span)[:1], ("ETag", f'"{SHA256}"'))
        return answer("206 Partial Content", fields, CONTENT[asked.span.start : asked.span.stop])

    async with Liar.open(mirror) as hub, client_of(config(hub)) as client:
        assert await taken(Stage(hub, hub, client).source(), WANTED) == BYTES


async def test_bytes_that_can_wait_cost_none_of_the_last_requests() -> None:
    """A store abroad has no part in the limit: where the landing is known, reading goes on."""
    async with stage() as on:
        scarce = (("RateLimit", '"resolvers";r=3;t=9'),)
        on.hub.script = lambda asked: redirect(f"{on.store.url}/blob?X-Amz-Signature=x", fields=scarce)
        known, new = on.source(), on.source()
        assert await taken(known, WANTED) == BYTES
        assert b"".join([piece async for piece in known.read(WANTED, can_wait=True)]) == BYTES
        with pytest.raises(OriginBusy) as busy:
            await anext(new.read(WANTED, can_wait=True))
        assert busy.value.retry_after == 9
        assert len(on.hub.asked) == 1
        assert await taken(new, WANTED) == BYTES, "for who waits there is something left"
