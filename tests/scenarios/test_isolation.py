"""Every door of a repo, for everybody, in every order: what one caller warms opens nothing to another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import orjson
import pytest

from bench.hub.content import MIB
from bench.hub.faults import Delay, Fail, SetHeaders
from bench.hub.repo import Repo
from tests.kit.asking import Answer, ask
from tests.kit.clients import CURRENT
from tests.kit.files import expected
from tests.kit.node import Node
from tests.kit.reader import Ending
from tests.kit.stage import Stage
from tests.kit.waiting import until

LARGE = "model.safetensors"
SECRET = "the words of the secret"
WRONG = "hf_CANARYwrong0000"
LONG = {"freshness__allow_ttl": "120s", "freshness__ref_ttl": "120s", "freshness__listing_ttl": "120s"}


def closed(stage: Stage, repo_id: str = "acme/secret", **traits: bool) -> Repo:
    repo = stage.world.add_model(repo_id, **traits)
    repo.put_text("config.json", SECRET)
    repo.put_text("README.md", "---\nlicense: mit\n---\n" + SECRET)
    repo.put_blob(LARGE, 3 * MIB)
    repo.commit("Upload")
    repo.grant("alice")
    return repo


def file_doors(repo: Repo) -> Iterator[tuple[str, str]]:
    for revision in ("main", repo.head()):
        for path in ("config.json", LARGE, "absent.json"):
            for verb in ("resolve", "raw"):
                yield "HEAD", f"/{repo.id}/{verb}/{revision}/{path}"
                yield "GET", f"/{repo.id}/{verb}/{revision}/{path}"


def api_doors(repo: Repo) -> Iterator[tuple[str, str]]:
    base = f"/api/models/{repo.id}"
    yield "GET", base
    yield "HEAD", base
    yield "GET", f"{base}/refs"
    yield "GET", f"{base}/auth-check"
    for revision in ("main", repo.head()):
        yield "GET", f"{base}/revision/{revision}"
        yield "GET", f"{base}/revision/{revision}?expand=sha&expand=siblings"
        yield "GET", f"{base}/tree/{revision}"
        yield "GET", f"{base}/tree/{revision}?recursive=true&expand=true"
        yield "GET", f"{base}/commits/{revision}"
        yield "POST", f"{base}/paths-info/{revision}"


async def knock(node: Node, door: tuple[str, str], token: str | None) -> Answer:
    method, target = door
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    body = None
    if method == "POST":
        headers["Content-Type"] = "application/json"
        body = orjson.dumps({"paths": [LARGE, "config.json"]})
    return await ask(node.url, method, target, headers, body)


def assert_shut(door: tuple[str, str], answer: Answer, repo: Repo, statuses: tuple[int, ...]) -> None:
    assert answer.status in statuses, (door, answer.transcript)
    shown = answer.transcript
    # the door itself may name the commit
    for secret in (SECRET, repo.file("config.json").oid, repo.head() if repo.head() not in door[1] else SECRET):
        assert secret not in shown, (door, shown)
    assert "hit" not in answer.headers.get("Cache-Status", ""), (door, shown)


@pytest.mark.parametrize("warm", [True, False])
async def test_no_door_of_a_private_repo_opens_to_anybody_else(stage: Stage, *, warm: bool) -> None:
    alice, bob = stage.user("alice"), stage.user("bob")
    repo = closed(stage, private=True)
    node = await stage.node(workers=2, **LONG)
    stage.others_ask()
    stage.allow_origin(None)  # not what this story is about
    doors = [*file_doors(repo), *api_doors(repo)]
    if warm:
        for _ in range(2):
            for door in doors:
                assert (await knock(node, door, alice)).status in (200, 307, 404), door
    for token in (bob, None, WRONG):
        for door in doors:
            assert_shut(door, await knock(node, door, token), repo, (401, 404))


async def test_no_door_opens_while_its_owner_goes_through_it(stage: Stage) -> None:
    """Everybody at once: shared questions, a fill under way, both workers."""
    alice, bob = stage.user("alice"), stage.user("bob")
    repo = closed(stage, private=True)
    node = await stage.node(workers=2, **LONG)
    stage.others_ask()
    stage.allow_origin(None)  # not what this story is about
    stage.faults.bandwidth = 2 * MIB
    doors = [*file_doors(repo), *api_doors(repo)]
    asked = [(door, token) for door in doors for token in (alice, bob, alice, None, WRONG)]
    answers = await asyncio.gather(*(knock(node, door, token) for door, token in asked))
    for (door, token), answer in zip(asked, answers, strict=True):
        if token == alice:
            assert answer.status in (200, 307, 404), (door, answer.transcript)
        else:
            assert_shut(door, answer, repo, (401, 404))


async def test_the_files_of_a_gated_repo_open_to_those_let_in(stage: Stage) -> None:
    alice, bob = stage.user("alice"), stage.user("bob")
    repo = closed(stage, gated=True)
    node = await stage.node(workers=2, **LONG)
    stage.others_ask()
    stage.allow_origin(None)  # not what this story is about
    for token in (None, alice):
        for door in api_doors(repo):
            await knock(node, door, token)
    for door in file_doors(repo):
        assert (await knock(node, door, alice)).status in (200, 307, 404), door
    for token in (bob, None):
        for door in file_doors(repo):
            if "absent" not in door[1]:
                assert_shut(door, await knock(node, door, token), repo, (401, 403))


async def test_kernels_datasets_spaces_and_old_names_are_as_private_as_models(stage: Stage) -> None:
    """HUB-PROTOCOL §6.4: one name under every prefix, and an id of one segment where there are such."""
    alice, bob = stage.user("alice"), stage.user("bob")
    world = stage.world
    adders = (world.add_model, world.add_dataset, world.add_space, world.add_kernel)
    repos = [add("acme/tiny", private=True) for add in adders] + [add("tiny", private=True) for add in adders[:2]]
    for number, repo in enumerate(repos):
        repo.put_text("config.json", f"{SECRET} {number}")
        repo.put_blob(LARGE, MIB + number)
        repo.commit("Upload")
        repo.grant("alice")
    node = await stage.node(workers=2, **LONG)
    stage.others_ask()
    for repo in repos:
        files = [expected(repo, path) for path in ("config.json", LARGE)]
        for file in files:
            for revision in ("main", None):
                assert (await stage.read(node, file, token=alice, revision=revision)).complete, file
        base = f"/api/{repo.kind}/{repo.id}"
        doors = [base, f"{base}/tree/main", *(file.target(revision) for file in files for revision in ("main", None))]
        assert (await stage.ask(node, doors[0], token=alice)).json["sha"] == repo.head()
        assert {one["path"] for one in (await stage.ask(node, doors[1], token=alice)).json} == {"config.json", LARGE}
        for token, status in ((bob, 404), ("", 401)):
            for door in doors:
                refused = await stage.ask(node, door, token=token)
                assert (refused.status, refused.headers["X-Error-Code"]) == (status, "RepoNotFound"), (door, refused)


async def test_what_the_hub_withholds_by_law_is_withheld_here_once_anybody_has_been_told(stage: Stage) -> None:
    """451: as disabled repos, and open again when the Hub opens them, without a byte fetched twice."""
    bob = stage.user("bob")
    repo, other = closed(stage), closed(stage, "acme/other")
    node = await stage.node(workers=2, freshness__allow_ttl="500ms")
    for each in (repo, other):
        for path in (LARGE, "config.json"):
            assert (await stage.read(node, expected(each, path), token=bob)).complete
            assert (await stage.read(node, expected(each, path))).complete
    stage.others_ask()
    taken = stage.faults.add(Fail(451, "Unavailable for legal reasons"), kinds=("api", "resolve"), path=repo.id)
    pinned = f"/{repo.id}/resolve/{repo.head()}/config.json"

    async def withheld() -> bool:
        await stage.ask(node, f"/{repo.id}/resolve/main/config.json", method="HEAD", token=bob)
        doors = [(pinned, token) for token in ("", bob) * 4] + [(f"/api/models/{repo.id}", "")]
        return all([(await stage.ask(node, door, token=token)).status == 451 for door, token in doors])

    await until(withheld, "it is withheld from all, in both workers", within=10.0)
    (outcome,) = await stage.client(CURRENT, node, [{"op": "download", "repo_id": repo.id, "filename": LARGE}])
    assert outcome.raised("LocalEntryNotFoundError"), outcome  # its word for every refusal that it does not know
    assert (await stage.read(node, expected(other, LARGE))).complete, "another repo is not concerned"
    stage.faults.remove(taken)

    async def open_again() -> bool:
        return all([(await stage.ask(node, pinned)).status == 200 for _ in range(8)])

    await until(open_again, "it is open again, in both workers", within=10.0)
    assert (await stage.read(node, expected(repo, LARGE))).complete


@pytest.mark.parametrize("how", ["private", "gated", "disabled", "deleted"])
async def test_a_repo_that_is_closed_is_closed_here_once_anybody_has_been_told(stage: Stage, how: str) -> None:
    """A pinned commit is believed public for a day; a stranger's refusal at the branch ends that for all."""
    bob = stage.user("bob")
    repo = closed(stage)
    node = await stage.node(workers=2, freshness__allow_ttl="500ms")
    file, config = expected(repo, LARGE), expected(repo, "config.json")
    for each in (file, config):
        for token in (None, bob):
            assert (await stage.read(node, each, token=token)).complete
    stage.others_ask()
    if how == "deleted":
        stage.world.delete(repo.id)
    elif how == "disabled":
        repo.disable()
    else:
        setattr(repo, how, True)
    await asyncio.sleep(1.1)  # the branch is asked for again after a second

    async def told() -> bool:
        answer = await stage.ask(node, f"/{repo.id}/resolve/main/config.json", method="HEAD", token=bob)
        return answer.status in (401, 403, 404)

    await until(told, "bob is refused at the branch", within=5.0)

    async def shut() -> bool:
        pinned = f"/{repo.id}/resolve/{config.commit}/config.json"
        return all([(await stage.ask(node, pinned, token=token)).status in (401, 403, 404) for token in ("", bob) * 4])

    await until(shut, "the pinned file is closed to all, in both workers", within=5.0)


async def test_what_is_kept_answers_before_a_client_gives_up_on_a_silent_origin(stage: Stage) -> None:
    file = stage.blob("acme/tiny", LARGE, 2 * MIB)
    node = await stage.node(origin__read_timeout="30s")
    assert (await stage.read(node, file, revision="main")).complete
    info = f"/api/models/{file.repo}/revision/main"
    assert (await stage.ask(node, info)).status == 200
    await asyncio.sleep(1.1)  # the branch is to be asked for again
    stage.faults.add(Delay(25), kinds=("resolve", "api"))
    head, listed, unknown = await asyncio.wait_for(
        asyncio.gather(
            stage.ask(node, f"/{file.repo}/resolve/main/{LARGE}", method="HEAD"),
            stage.ask(node, info),
            stage.ask(node, f"/{file.repo}/resolve/other/{LARGE}", method="HEAD"),
        ),
        timeout=9.5,
    )
    assert (head.status, listed.status, unknown.status) == (307, 200, 429)
    assert "stale" in head.headers["Cache-Status"] or "ttl" in head.headers["Cache-Status"], head.transcript
    assert (await stage.read(node, file)).ending is Ending.COMPLETE, "a pinned commit asks nobody"


async def test_a_small_file_with_a_weak_tag_is_served_under_a_strong_one(stage: Stage) -> None:
    repo = stage.repo("acme/tiny")
    git = repo.put_text("config.json", b"{}")
    repo.commit("Upload")
    stage.faults.add(SetHeaders({"etag": f'W/"{git.oid}"'}), kinds=("resolve-cache",))
    node = await stage.node()
    reading = await stage.read(node, expected(repo, "config.json"))
    assert reading.complete, reading
    answer = await stage.ask(node, f"/{repo.id}/resolve/{repo.head()}/config.json", method="HEAD")
    assert answer.headers["ETag"] == f'"{git.oid}"'
