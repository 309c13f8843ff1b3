"""Questions to the Hub: what comes back, what does not go out, and who waits for an outage."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from proxy.core.caller import ANONYMOUS, bearer
from proxy.core.clock import ManualClock
from proxy.core.errors import MalformedTarget, OriginBusy, OriginLied, OriginRefused, OriginUnreachable
from proxy.core.secret import Secret
from proxy.core.spans import Span
from proxy.hub.facts import FileFacts, FoundFile, Moved
from proxy.origin.client import LARGEST_REPLY
from proxy.origin.hubline import REST
from tests.origin.liar import (
    COMMIT,
    FACTS,
    SHA256,
    TARGET,
    Asked,
    Liar,
    Said,
    Script,
    answer,
    client_of,
    config,
    redirect,
    stage,
    taken,
    until,
)

ANN = bearer(Secret("hf_ann"), b"key")
BOB = bearer(Secret("hf_bob"), b"key")
GIT_FILE = (("X-Repo-Commit", COMMIT), ("ETag", f'"{"d" * 40}"'), ("Content-Length", "7"))
FOUND = FoundFile(COMMIT, FileFacts("d" * 40, 7, False, None))


class Noted:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, int]] = []
        self.received: Counter[str] = Counter()
        self.remaining: list[int] = []
        self.breakers: list[str] = []

    def request(self, host_class: str, code: int, seconds: float) -> None:
        self.requests.append((host_class, code))

    def bytes(self, host_class: str, count: int) -> None:
        self.received[host_class] += count

    def rate_limit_remaining(self, count: int) -> None:
        self.remaining.append(count)

    def breaker(self, state: str) -> None:
        self.breakers.append(state)


def small_file(asked: Asked) -> Said:
    if asked.target.startswith("/api/resolve-cache/"):
        return answer("200 OK", GIT_FILE)
    return redirect("/api/resolve-cache/models/acme/tiny/x", "307 Temporary Redirect", (("X-Repo-Commit", COMMIT),))


def always(said: Said) -> Script:
    return lambda _: said


# --- head_file ------------------------------------------------------------------------------------------------------


async def test_a_small_file_is_found_behind_its_redirect_with_the_token_on_both_hops() -> None:
    async with Liar.open(small_file) as hub, client_of(config(hub)) as client:
        assert await client.head_file(TARGET, ANN) == FOUND
        assert [(asked.method, asked.headers["authorization"]) for asked in hub.asked] == [
            ("HEAD", "Bearer hf_ann")
        ] * 2


async def test_a_large_file_is_found_without_following_it() -> None:
    async with stage() as on:
        assert await on.client.head_file(TARGET, ANN) == FoundFile(COMMIT, FACTS)
        assert on.store.connections == 0


async def test_a_renamed_repo_is_told_as_moved() -> None:
    script = always(redirect(f"/Acme/new/resolve/{COMMIT}/weights.bin", "307 Temporary Redirect"))
    async with Liar.open(script) as hub, client_of(config(hub)) as client:
        moved = await client.head_file(TARGET, ANN)
        assert isinstance(moved, Moved)
        assert moved.target.repo.name == "Acme/new"


async def test_a_loop_of_redirects_ends() -> None:
    script = always(redirect("/api/resolve-cache/again", "307 Temporary Redirect"))
    async with Liar.open(script) as hub, client_of(config(hub)) as client:
        with pytest.raises(OriginLied):
            await client.head_file(TARGET, ANN)
        assert len(hub.asked) == 6


async def test_a_redirect_to_another_host_is_not_followed_by_a_head() -> None:
    async with stage() as on:
        on.hub.script = always(redirect(f"{on.store.url}/resolve-cache/x", "307 Temporary Redirect"))
        with pytest.raises(OriginLied):
            await on.client.head_file(TARGET, ANN)
        assert on.store.connections == 0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
async def test_a_refusal_is_passed_on(status: int) -> None:
    script = always(answer(f"{status} No", (("X-Error-Code", "RepoNotFound"), ("X-Error-Message", "no such repo"))))
    async with Liar.open(script) as hub, client_of(config(hub)) as client:
        with pytest.raises(OriginRefused) as raised:
            await client.head_file(TARGET, ANN)
        assert (raised.value.status, raised.value.code) == (status, "RepoNotFound")


@pytest.mark.parametrize("status", ["500 A", "502 B", "503 C", "504 D", "408 E"])
async def test_a_failing_origin_is_away(status: str) -> None:
    async with Liar.open(always(answer(status))) as hub, client_of(config(hub)) as client:
        with pytest.raises(OriginUnreachable):
            await client.head_file(TARGET, ANN)


async def test_an_origin_that_is_silent_is_away() -> None:
    async with Liar.open(always(Said(b"", "silence"))) as hub, client_of(config(hub, read_timeout=0.1)) as client:
        with pytest.raises(OriginUnreachable):
            await client.head_file(TARGET, ANN)


async def test_an_origin_that_drips_its_head_is_away() -> None:
    """Each byte ends the silence, but the head has a deadline of its own."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not reader.at_eof() and not writer.is_closing():
            writer.write(b"X")
            await asyncio.sleep(0.05)

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    liar = Liar(small_file, port=server.sockets[0].getsockname()[1])
    async with client_of(config(liar, read_timeout=0.1, connect_timeout=0.1)) as client:
        with pytest.raises(OriginUnreachable):
            await client.head_file(TARGET, ANN)
    server.close()


async def test_a_refused_connection_is_away_and_says_nothing_secret() -> None:
    async with Liar.open(small_file) as hub:
        gone = config(hub)
    async with client_of(gone) as client:
        with pytest.raises(OriginUnreachable, match="cannot connect") as raised:
            await client.head_file(TARGET, ANN)
        assert "hf_ann" not in str(raised.value)


async def test_an_idle_connection_that_was_closed_meanwhile_costs_no_error() -> None:
    first = iter([answer("200 OK", body=b"{}"), Said(b"", "close")])
    async with Liar.open(lambda _: next(first, answer("200 OK", body=b"{}"))) as hub, client_of(config(hub)) as client:
        await client.call("POST", "/api/models/a/b/paths-info/main", ANN, body=b"{}")
        reply = await client.call("POST", "/api/models/a/b/paths-info/main", ANN, body=b"{}")
        assert reply.body == b"{}"


# --- call -----------------------------------------------------------------------------------------------------------


async def test_a_call_is_answered_whole_whatever_its_status() -> None:
    script = always(answer("404 Not Found", (("X-Error-Code", "RepoNotFound"),), b'{"error":"x"}'))
    async with Liar.open(script) as hub, client_of(config(hub)) as client:
        reply = await client.call("GET", "/api/models/a/b?expand=true&x=%2F", ANN)
        assert (reply.status, reply.body, reply.header("x-error-code")) == (404, b'{"error":"x"}', "RepoNotFound")
        assert hub.asked[0].target == "/api/models/a/b?expand=true&x=%2F"


async def test_a_redirect_of_a_call_is_given_back() -> None:
    script = always(redirect("/api/models/acme/tiny", "307 Temporary Redirect"))
    async with Liar.open(script) as hub, client_of(config(hub)) as client:
        reply = await client.call("GET", "/api/models/Acme/Tiny", ANN)
        assert (reply.status, reply.header("location")) == (307, "/api/models/acme/tiny")
        assert len(hub.asked) == 1


async def test_nothing_of_a_client_goes_along_but_what_shapes_the_answer() -> None:
    suspicious = [
        ("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Host", "evil"), ("X-Original-URL", "/admin"), ("Forwarded", "x"),
        ("X-HTTP-Method-Override", "DELETE"), ("Host", "evil.example"), ("Cookie", "session=1"), ("Range", "bytes=0-1"),
        ("Authorization", "Bearer hf_other"), ("Connection", "authorization"), ("Transfer-Encoding", "chunked"),
        ("Accept-Encoding", "gzip"), ("User-Agent", "curl"), ("Via", "1.1 x"), ("If-None-Match", '"x"'), ("TE", "x"),
    ]  # fmt: skip
    shaping = [("Accept", "application/json"), ("content-type", "application/json")]
    async with Liar.open(always(answer("200 OK"))) as hub, client_of(config(hub)) as client:
        await client.call("POST", "/api/x", ANN, headers=(*suspicious, *shaping), body=b"{}")
        headers = hub.asked[0].headers
    assert headers.pop("user-agent").startswith("penstock/")
    assert headers == {
        "host": hub.place,
        "accept-encoding": "identity",
        "via": "1.1 penstock",
        "authorization": "Bearer hf_ann",
        "accept": "application/json",
        "content-type": "application/json",
        "content-length": "2",
    }


async def test_the_anonymous_show_no_credential_even_where_the_operator_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login root password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with Liar.open(small_file) as hub, client_of(config(hub)) as client:
        await client.head_file(TARGET, ANONYMOUS)
        assert all("authorization" not in asked.headers for asked in hub.asked)


async def test_cookies_are_neither_kept_nor_passed_on() -> None:
    script = always(answer("200 OK", (("Set-Cookie", "session=1"), ("Connection", "X-Hop"), ("X-Hop", "1"))))
    async with Liar.open(script) as hub, client_of(config(hub)) as client:
        reply = await client.call("GET", "/api/x", ANN)
        await client.call("GET", "/api/x", ANN)
        assert [name for name, _ in reply.headers] == ["content-length"]
        assert "cookie" not in hub.asked[1].headers


@pytest.mark.parametrize(
    "target", ["api/x", "//evil.example/x y", "/api/\r\nX: y", "/a#b", "@evil.example/", "/a%zz", ""]
)
async def test_a_target_that_is_none_is_not_asked(target: str) -> None:
    async with Liar.open(small_file) as hub, client_of(config(hub)) as client:
        with pytest.raises(MalformedTarget):
            await client.call("GET", target, ANN)
        assert hub.asked == []


ENDLESS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"100000\r\n%b\r\n" % (b"x" * 0x100000) * 34
BAD_REPLIES = {
    "too long": Said(ENDLESS, "close"),
    "encoded": answer("200 OK", (("Content-Encoding", "gzip"),), b"x"),
    "without an end that shows": Said(b"HTTP/1.1 200 OK\r\n\r\n{}", "close"),
    "no HTTP": Said(b"\x16\x03\x01 hello\r\n\r\n", "close"),
    "itself, at another host": redirect("https://hub.example/api/x"),
    "itself": redirect("?"),
}


@pytest.mark.parametrize("said", BAD_REPLIES.values(), ids=BAD_REPLIES.keys())
async def test_a_reply_that_cannot_be_trusted_is_none(said: Said) -> None:
    async with Liar.open(always(said)) as hub, client_of(config(hub)) as client:
        with pytest.raises(OriginLied):
            await client.call("GET", "/api/x", ANN)


async def test_a_reply_as_large_as_allowed_is_taken() -> None:
    async with Liar.open(always(answer("200 OK", (), b"x" * LARGEST_REPLY))) as hub, client_of(config(hub)) as client:
        assert len((await client.call("GET", "/api/x", ANN)).body) == LARGEST_REPLY


async def test_a_reply_that_is_cut_is_no_reply() -> None:
    script = always(Said(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[]", "close"))
    async with Liar.open(script) as hub, client_of(config(hub)) as client:
        with pytest.raises(OriginUnreachable):
            await client.call("GET", "/api/x", ANN)


# --- limits and outages ---------------------------------------------------------------------------------------------


async def test_after_a_429_nobody_of_that_account_asks_until_it_ends() -> None:
    clock = ManualClock()
    slow_down = always(answer("429 Slow", (("Retry-After", "7"),)))
    async with Liar.open(slow_down) as hub, client_of(config(hub), clock) as client:
        for _ in range(3):
            with pytest.raises(OriginBusy) as raised:
                await client.call("GET", "/api/x", ANN)
            assert raised.value.retry_after == 7
        assert len(hub.asked) == 1
        hub.script = always(answer("200 OK"))
        assert (await client.call("GET", "/api/x", BOB)).status == 200
        clock.advance(7)
        assert (await client.call("GET", "/api/x", ANN)).status == 200


async def test_an_outage_is_not_asked_about_again_and_again() -> None:
    clock, noted = ManualClock(), Noted()
    async with Liar.open(always(answer("503 Away"))) as hub, client_of(config(hub), clock, observer=noted) as client:
        for _ in range(REST.failures):
            with pytest.raises(OriginUnreachable):
                await client.call("GET", "/api/x", ANN)
        with pytest.raises(OriginBusy):
            await client.head_file(TARGET, BOB)
        assert len(hub.asked) == REST.failures
        hub.script = small_file
        clock.advance(30)
        assert await client.head_file(TARGET, BOB) == FOUND
        assert noted.breakers == ["open", "half-open", "closed"]


async def test_a_trial_that_is_cancelled_does_not_keep_the_breaker_shut() -> None:
    clock = ManualClock()
    async with Liar.open(always(answer("503 Away"))) as hub, client_of(config(hub), clock) as client:
        for _ in range(REST.failures):
            with pytest.raises(OriginUnreachable):
                await client.call("GET", "/api/x", ANN)
        clock.advance(30)
        hub.script = always(Said(b"", "silence"))
        async with asyncio.TaskGroup() as tasks:
            trial = tasks.create_task(client.call("GET", "/api/x", ANN))
            await until(lambda: len(hub.asked) == REST.failures + 1)
            trial.cancel()
        hub.script = always(answer("200 OK"))
        assert (await client.call("GET", "/api/x", ANN)).status == 200


async def test_requests_bytes_and_limits_are_counted() -> None:
    noted = Noted()
    async with stage() as on, client_of(config(on.hub, on.store.place), observer=noted) as client:
        await taken(client.source(TARGET, FACTS, ANN), Span(0, 1000))
        on.hub.script = always(answer("200 OK", (("RateLimit", '"api";r=41;t=9'),), b"[]"))
        await client.call("GET", "/api/x", ANN)
    assert noted.requests == [("hub", 302), ("cdn", 206), ("hub", 200)]
    assert noted.received == {"cdn": 1000, "hub": 2}
    assert noted.remaining == [41]


async def test_facts_of_the_same_file_come_the_same_under_a_prefix() -> None:
    """An origin may live below a path, as artifact managers do."""
    fields = (("X-Linked-Etag", f'"{SHA256}"'), ("X-Linked-Size", "10000"), ("X-Repo-Commit", COMMIT))
    async with Liar.open(always(answer("200 OK", fields))) as hub:
        section = config(hub).model_copy(update={"url": f"{hub.url}/artifacts/hf"})
        async with client_of(section, chance=Random(2)) as client:
            assert await client.head_file(TARGET, ANN) == FoundFile(COMMIT, FACTS)
        assert hub.asked[0].target.startswith("/artifacts/hf/acme/tiny/resolve/")
