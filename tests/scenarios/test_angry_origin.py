"""The origin asked as little as can be, and left alone when it is nearly at its end."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from bench.hub.content import MIB
from bench.hub.faults import Fail
from bench.hub.quota import Quota
from bench.hub.repo import Repo
from tests.kit.asking import Answer
from tests.kit.clients import CURRENT
from tests.kit.files import all_files, expected
from tests.kit.node import Node
from tests.kit.planes import PLANES, Looking
from tests.kit.stage import Stage
from tests.kit.waiting import until

LARGE = "model.safetensors"


def furnished(stage: Stage, repo_id: str = "acme/tiny", files: int = 3) -> Repo:
    repo = stage.repo(repo_id)
    for number in range(files):
        repo.put_text(f"part-{number:03}.txt", b"%d" % number)
    repo.put_blob(LARGE, MIB + 1)
    repo.commit("Upload")
    for file in all_files(repo):
        stage.wants(file)
    return repo


async def at_once(stage: Stage, node: Node, looking: Looking, times: int = 40) -> list[Answer]:
    stage.others_ask()
    return await asyncio.gather(*(looking.ask(node.url, None) for _ in range(times)))


async def test_a_warm_snapshot_of_200_files_costs_one_question_and_a_pinned_one_none(stage: Stage) -> None:
    """HUB-PROTOCOL §7.3, §7.31: by the real client with an empty cache, once the branch is due to be asked again."""
    repo = furnished(stage, files=200)
    node = await stage.node(workers=2, freshness__ref_ttl="2s")
    snapshot = {"op": "snapshot", "repo_id": repo.id}
    (cold,) = await stage.client(CURRENT, node, [snapshot])
    assert len(stage.got_all(repo, cold)) == 201
    await asyncio.sleep(2.1)  # the branch's time is up: nothing else can tell
    asked = stage.hub.counters.total_requests()
    (warm,) = await stage.client(CURRENT, node, [snapshot])
    stage.got_all(repo, warm)
    assert stage.hub.counters.total_requests() - asked <= 1
    asked = stage.hub.counters.total_requests()
    (pinned,) = await stage.client(CURRENT, node, [{**snapshot, "revision": repo.head()}])
    stage.got_all(repo, pinned)
    assert stage.hub.counters.total_requests() == asked


@pytest.mark.parametrize("plane", ["tree main", "tree commit", "paths-info", "refs", "commits", "revision"])
async def test_many_who_ask_two_workers_at_once_are_one_question(stage: Stage, plane: str) -> None:
    repo = furnished(stage)
    node = await stage.node(workers=2, freshness__ref_ttl="60s", freshness__listing_ttl="60s")
    stage.hub.faults.latency = 0.2
    answers = await at_once(stage, node, PLANES[plane](repo))
    assert Counter(answer.status for answer in answers) == {200: 40}
    assert stage.hub.counters.total_requests("api") <= 1, stage.hub.counters.requests
    assert len({answer.body for answer in answers}) == 1


@pytest.mark.parametrize("plane", ["head", "tree main", "paths-info", "refs", "lfs", "v2 manifest"])
async def test_many_who_show_one_token_are_one_question_for_each_worker(stage: Stage, plane: str) -> None:
    """Rights are in the memory of each worker; whatever else is due is asked once for all."""
    alice = stage.user("alice")
    repo = stage.world.add_model("acme/secret", private=True)
    repo.grant("alice")
    repo.put_text("config.json", b"{}")
    repo.put_blob(LARGE, MIB + 1)
    repo.put_blob("tiny-Q8_0.gguf", MIB + 2)
    repo.commit("Upload")
    for file in all_files(repo):
        stage.wants(file)
    node = await stage.node(
        workers=2,
        freshness__ref_ttl="2s",
        freshness__listing_ttl="2s",
        freshness__public_ttl="2s",
        freshness__allow_ttl="60s",
    )
    stage.hub.faults.latency = 0.2
    head = Looking("HEAD", f"/{repo.id}/resolve/main/{LARGE}")
    looking = head if plane == "head" else PLANES[plane](repo)

    async def all_at_once() -> int:
        before = asked_with(stage, alice)
        answers = await asyncio.gather(*(looking.ask(node.url, alice) for _ in range(40)))
        assert {answer.status for answer in answers} <= {200, 307}
        return asked_with(stage, alice) - before

    stage.others_ask()
    assert await all_at_once() <= 2, "each worker asked for the right"
    await asyncio.sleep(2.1)  # its time is up: nothing else can tell
    assert await all_at_once() <= 1, "the right is known"


def asked_with(stage: Stage, token: str) -> int:
    return sum(record.headers.get("authorization") == f"Bearer {token}" for record in stage.hub.log)


@pytest.mark.parametrize("revision", ["main", "commit"])
async def test_many_heads_at_two_workers_are_one_and_one_more_after_the_ttl(stage: Stage, revision: str) -> None:
    repo = furnished(stage)
    node = await stage.node(workers=2, freshness__ref_ttl="1s")
    name = repo.head() if revision == "commit" else "main"
    head = Looking("HEAD", f"/{repo.id}/resolve/{name}/{LARGE}")
    await at_once(stage, node, head)
    assert stage.hub.counters.total_requests() == 1
    await asyncio.sleep(1.1)
    await at_once(stage, node, head)
    assert stage.hub.counters.total_requests() == (1 if revision == "commit" else 2)


async def test_one_look_at_a_branch_serves_files_listings_and_descriptions(stage: Stage) -> None:
    """The commit that one answer named is the branch's for all, as long as it is fresh."""
    repo = furnished(stage)
    node = await stage.node(workers=2, freshness__ref_ttl="60s")
    stage.others_ask()
    await stage.ask(node, f"/api/models/{repo.id}/revision/main")
    await stage.ask(node, f"/api/models/{repo.id}/tree/main?recursive=true")
    asked = stage.hub.counters.total_requests()
    for path in (LARGE, "part-000.txt", "part-001.txt"):
        answer = await stage.ask(node, f"/{repo.id}/resolve/main/{path}", method="HEAD")
        assert answer.status == 307, answer.transcript
    assert stage.hub.counters.total_requests() == asked, "the tree told what the files are"


async def test_the_last_requests_of_a_window_are_kept_for_what_cannot_wait(stage: Stage) -> None:
    """HUB-PROTOCOL §7.31: the Hub never has to say 429, a new file is still found, what is kept is served stale."""
    repo, other = furnished(stage), furnished(stage, "acme/other")
    quota = stage.hub.limit_rate(60, 3600.0)
    node = await stage.node(freshness__ref_ttl="0s", freshness__listing_ttl="0s")
    stage.others_ask()
    looks = [Looking("HEAD", f"/{repo.id}/resolve/main/{LARGE}"), PLANES["tree main"](repo), PLANES["refs"](repo)]
    statuses: Counter[int] = Counter()
    stale = 0
    for _ in range(100):
        for looking in looks:
            answer = await looking.ask(node.url, None)
            statuses[answer.status] += 1
            stale += "fwd=stale" in answer.headers["Cache-Status"]
    assert set(statuses) == {200, 307}
    assert stale > 150
    assert (await stage.read(node, expected(other, LARGE))).complete, "there was something left for it"
    assert quota.refused == 0


async def test_what_nobody_waits_for_is_put_off_until_the_window_begins_anew(stage: Stage) -> None:
    """Read-ahead of a git file, each span of which is a question to the Hub."""
    repo = stage.repo("acme/tiny")
    repo.put_text("rows.jsonl", b"".join(b"%015d\n" % number for number in range(MIB)))
    repo.commit("Upload")
    file = expected(repo, "rows.jsonl")
    window = 5.0
    now = [0.0]
    stage.hub.quota = quota = Quota(14, window, lambda: now[0])  # ten of them are kept back
    node = await stage.node()
    for start in (0, MIB):
        reading = await stage.read(node, file, span=(start, start + MIB))
        assert reading.complete, reading
    stage.wants(file)

    def fetched() -> int:
        return stage.hub.counters.total_bytes("resolve-cache")

    async def is_put_off() -> bool:
        page = await node.metrics()
        waiting = page.total("requests_in_flight") or page.total("fills_in_progress")
        return not waiting and (await node.status())["node"]["flights"] == 1

    await until(is_put_off, "what is ahead is put off")
    assert fetched() < 3 * MIB, "only what was asked for"
    spent = stage.hub.counters.total_requests()
    third = await stage.read(node, file, span=(12 * MIB, 13 * MIB))
    assert third.complete, "there is something left for who waits"
    now[0] = window
    await until(lambda: fetched() > 8 * MIB, "it is taken up in the next window", within=20.0)
    assert spent < 10
    assert quota.refused == 0


async def test_when_nothing_is_left_what_is_not_here_is_429_and_what_is_here_is_served(stage: Stage) -> None:
    """HUB-PROTOCOL §7.31."""
    repo, other = furnished(stage), furnished(stage, "acme/other")
    node = await stage.node(freshness__ref_ttl="0s", freshness__listing_ttl="0s")
    stage.others_ask()
    held = [Looking("GET", f"/{repo.id}/resolve/main/{LARGE}"), PLANES["tree main"](repo), PLANES["info"](repo)]
    for looking in held:
        assert (await looking.ask(node.url, None)).status < 400
    quota = stage.hub.limit_rate(3, 3600.0)
    for _ in range(5):
        for looking in held:
            assert (await looking.ask(node.url, None)).status < 400
        for plane in ("resolve commit", "tree main", "tree commit", "paths-info", "revision commit"):
            await PLANES[plane](other).ask(node.url, None)
    for plane in ("raw", "refs"):
        answer = await PLANES[plane](other).ask(node.url, None)
        assert answer.status == 429, answer.transcript
        assert 1 <= int(answer.headers["Retry-After"]) <= 600
        assert "RateLimit" not in answer.headers
    assert quota.refused <= 2


async def test_what_is_not_there_is_remembered_by_who_asked(stage: Stage) -> None:
    """A missing file for ever at its commit; a missing repo for a moment, to nobody and to somebody apart."""
    alice = stage.user("alice")
    repo = furnished(stage)
    node = await stage.node(freshness__deny_ttl="5s")
    missing = f"/{repo.id}/resolve/{repo.head()}/nowhere.json"
    nowhere = "/acme/nowhere/resolve/main/config.json"
    assert (await stage.ask(node, f"/{repo.id}/resolve/{repo.head()}/{LARGE}", method="HEAD")).status == 200
    wanted = {(missing, ""): 404, (missing, alice): 404, (nowhere, ""): 401, (nowhere, alice): 404}
    for (target, token), status in wanted.items():
        assert (await stage.ask(node, target, method="HEAD", token=token)).status == status
    asked = stage.hub.counters.total_requests()
    for (target, token), status in wanted.items():
        answer = await stage.ask(node, target, method="HEAD", token=token)
        assert answer.status == status, answer.transcript
    assert stage.hub.counters.total_requests() == asked


async def test_stale_answers_say_so(stage: Stage) -> None:
    repo = furnished(stage)
    node = await stage.node(freshness__ref_ttl="0s", freshness__listing_ttl="0s")
    planes = ("resolve main", "tree main", "refs", "info", "revision", "commits")
    looks = [Looking("HEAD", f"/{repo.id}/resolve/main/{LARGE}"), *(PLANES[plane](repo) for plane in planes[1:])]
    stage.others_ask()
    for looking in looks:
        assert (await looking.ask(node.url, None)).status < 400
    stage.faults.add(Fail(503), kinds=("api", "resolve"))
    for looking in looks:
        answer = await looking.ask(node.url, None)
        assert answer.status < 400, answer.transcript
        assert answer.headers["Cache-Status"].startswith("penstock; fwd=stale"), answer.transcript
        assert int(answer.headers["Age"]) >= 0
