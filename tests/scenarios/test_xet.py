"""Five generations of hf_xet fetch through the facade, and never reach the CAS or the CDN of the Hub."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bench.hub.content import MIB
from bench.hub.messages import Plane
from bench.hub.repo import Repo
from bench.hub.server import SyntheticHub
from tests.kit.asking import Answer
from tests.kit.clients import CURRENT, XET_VERSIONS, Client
from tests.kit.files import expected
from tests.kit.node import Node
from tests.kit.reader import Ending
from tests.kit.stage import Stage
from tests.kit.waiting import until

every_version = pytest.mark.parametrize("version", XET_VERSIONS)
BIG = "model.safetensors"
SIZE = 44 * MIB + 12_345
ONE_AT_A_TIME = {
    "HF_XET_NUM_CONCURRENT_RANGE_GETS": "1",
    "HF_XET_FIXED_DOWNLOAD_CONCURRENCY": "1",
    "HF_XET_CLIENT_AC_INITIAL_DOWNLOAD_CONCURRENCY": "1",
    "HF_XET_CLIENT_AC_MAX_DOWNLOAD_CONCURRENCY": "1",
    "HF_XET_CLIENT_AC_MIN_DOWNLOAD_CONCURRENCY": "1",
}
"""One xorb after another, in the words of each generation."""


def furnished(stage: Stage, repo_id: str = "acme/tiny", size: int = SIZE, **traits: Any) -> Repo:
    repo = stage.world.add_model(repo_id, **traits)
    repo.put_text("config.json", b'{"model_type": "tiny"}')
    repo.put_blob(BIG, size)
    repo.commit("Upload model")
    return repo


def download(repo: Repo, filename: str = BIG) -> dict[str, Any]:
    return {"op": "download", "repo_id": repo.id, "filename": filename}


def came_by_xet(stage: Stage, node: Node) -> bool:
    """The bytes were delivered as xorbs, none as a file; and no client asked anybody but the mirror."""
    bodies = [record for record in node.access_records() if record["method"] == "GET" and record["bytes"] > MIB]
    assert bodies
    assert {record["route"] for record in bodies} == {"xet"}
    return only_the_mirror_was_asked(stage)


def only_the_mirror_was_asked(stage: Stage) -> bool:
    assert not any(record.plane is Plane.CAS for record in stage.hub.log)
    agents = [record.headers.get("user-agent", "").lower() for record in stage.hub.log]
    assert not any(word in agent for agent in agents for word in ("hf_hub", "xet", "huggingface"))
    return True


@every_version
async def test_an_advertised_file_comes_by_xet_cold_and_warm(stage: Stage, version: str) -> None:
    """HUB-PROTOCOL §7.7: every spelling of the reconstruction that there is, V1 and V2."""
    repo = furnished(stage)
    node = await stage.node(workers=2, xet__advertise_above=0)
    stage.expect_origin_exact()
    for _ in range(2):
        (outcome,) = await stage.client(version, node, [download(repo)])
        stage.got(expected(repo, BIG), outcome)
    assert came_by_xet(stage, node)


@every_version
async def test_a_client_whose_xorb_address_has_expired_asks_for_another(stage: Stage, version: str) -> None:
    """HUB-PROTOCOL §7.7: the second xorb is asked for when its address is three seconds old or more."""
    repo = furnished(stage)
    node = await stage.node(xet__advertise_above=0, xet__url_ttl="3s")
    stage.hub.faults.bandwidth = 5 * MIB
    client = stage.fresh_client(version, node)
    client.extra = ONE_AT_A_TIME
    (outcome,) = await stage.client(version, node, [download(repo)], client=client)
    stage.got(expected(repo, BIG), outcome)
    assert 403 in {record["status"] for record in node.access_records() if record["route"] == "xet"}
    assert came_by_xet(stage, node)


async def test_a_client_that_remembers_a_xet_hash_is_served(stage: Stage) -> None:
    """HUB-PROTOCOL §7.6: the listing was kept from the Hub itself; the mirror advertises nothing."""
    repo = furnished(stage)
    node = await stage.node(workers=2, xet__advertise_above="off")
    async with the_hub_itself(stage) as hub:
        client = stage.fresh_client(CURRENT, node)
        client.endpoint = hub.url
        warm = {"op": "snapshot", "repo_id": repo.id, "allow_patterns": ["config.json"]}
        (outcome,) = await stage.client(CURRENT, node, [warm], client=client)
        assert set(outcome.value["files"]) == {"config.json"}
        asked = hub.counters.total_requests("tree")
        assert asked
    client.endpoint = node.url
    (outcome,) = await stage.client(CURRENT, node, [{"op": "snapshot", "repo_id": repo.id}], client=client)
    assert stage.got_all(repo, outcome) == {"config.json", BIG}
    assert came_by_xet(stage, node)


@pytest.mark.parametrize("version", ["1.16.1", CURRENT])
async def test_a_file_above_the_client_s_limit_comes_by_xet(stage: Stage, version: str) -> None:
    """HUB-PROTOCOL §7.8: the limit, and what is advertised, are patched down to 1 MB; the small one comes as ever."""
    repo = furnished(stage)
    repo.put_blob("small.bin", MIB // 2)
    repo.commit("Add a smaller file")
    node = await stage.node(xet__advertise_above="1MB")
    client = limited(stage, version, node)
    outcomes = await stage.client(version, node, [download(repo), download(repo, "small.bin")], client=client)
    stage.got(expected(repo, BIG), outcomes[0])
    stage.got(expected(repo, "small.bin"), outcomes[1])
    assert came_by_xet(stage, node)
    listed = await stage.ask(node, f"/api/models/{repo.id}/tree/main")
    assert {item["path"] for item in listed.json if "xetHash" in item} == {BIG}


@pytest.mark.parametrize("version", ["1.16.1", CURRENT])
async def test_a_file_above_the_client_s_limit_that_is_not_advertised_is_refused_by_it(
    stage: Stage, version: str
) -> None:
    """HUB-PROTOCOL §7.8: nothing a mirror that tells the size can do about it."""
    repo = furnished(stage)
    node = await stage.node(xet__advertise_above="off")
    (outcome,) = await stage.client(version, node, [download(repo)], client=limited(stage, version, node))
    assert outcome.raised("ValueError"), outcome
    assert "too large" in outcome.text


async def test_without_xet_a_file_above_the_client_s_limit_comes_if_its_size_is_not_told(stage: Stage) -> None:
    """HUB-PROTOCOL §7.8: the client checks its limit only against a size that it was told."""
    repo = furnished(stage)
    node = await stage.node(xet__advertise_above="off", xet__hide_size_above="1MB")
    client = limited(stage, CURRENT, node)
    client.extra = {"HF_HUB_DISABLE_XET": "1"}
    outcomes = await stage.client(CURRENT, node, [download(repo), download(repo, "config.json")], client=client)
    stage.got(expected(repo, BIG), outcomes[0])
    stage.got(expected(repo, "config.json"), outcomes[1])
    assert {record["route"] for record in node.access_records()} == {"resolve"}
    head = await stage.ask(node, f"/{repo.id}/resolve/{repo.head()}/{BIG}", method="HEAD")
    assert head.headers["Content-Length"] == head.headers["X-Linked-Size"] == str(SIZE), "others are told as ever"


async def test_a_file_of_51_gb_is_advertised_and_fetched_in_ranges(stage: Stage) -> None:
    """By default, and nothing is patched: what is asked of it is what it costs."""
    size = 51_000_000_000
    repo = stage.world.add_model("acme/huge")
    repo.put_blob(BIG, size, sha256="5a" * 32)
    repo.put_blob("small.bin", 2 * MIB)
    repo.commit("Upload")
    node = await stage.node(disk_size="4GiB")
    heads = [
        await stage.ask(node, f"/{repo.id}/resolve/{repo.head()}/{path}", method="HEAD") for path in (BIG, "small.bin")
    ]
    assert ["X-Xet-Hash" in head.headers for head in heads] == [True, False]
    file = expected(repo, BIG)
    tail = await stage.read(node, file, span=(size - 300_000, size))
    assert tail.complete, tail
    address = await xorb_address(stage, node, repo, Range=f"bytes={size - 10}-")
    xorb = await stage.ask(node, address)
    last = size - size % (128 * 1024)
    assert xorb.body[-(size - last) :] == file.blob.read(last, size - last)
    stage.wants(file, (size // (16 * MIB) * 16 * MIB, size))
    fetched = [record for record in stage.hub.log if record.plane is Plane.CDN]
    assert fetched
    assert all(record.headers.get("range", "").startswith("bytes=") for record in fetched)


async def test_what_is_advertised_changes_without_a_purge(stage: Stage) -> None:
    repo = furnished(stage, size=3 * MIB)
    node = await stage.node(xet__advertise_above="off")
    target, head = f"/api/models/{repo.id}/tree/{repo.head()}?recursive=true", f"/{repo.id}/resolve/{repo.head()}/{BIG}"
    bare = await stage.ask(node, target)
    assert "xet" not in bare.transcript.lower()
    assert "xet" not in (await stage.ask(node, head, method="HEAD")).transcript.lower()
    await stage.stop(node)
    await stage.start(node, xet__advertise_above=0)
    trees = stage.hub.counters.total_requests("tree")
    told = await stage.ask(node, target)
    file = expected(repo, BIG)
    assert {item["path"]: item.get("xetHash") for item in told.json} == {"config.json": None, BIG: xet_hash(repo)}
    assert told.headers["ETag"] != bare.headers["ETag"]
    assert stage.hub.counters.total_requests("tree") == trees
    answer = await stage.ask(node, head, method="HEAD")
    assert answer.headers["X-Xet-Hash"] == xet_hash(repo)
    assert answer.headers["X-Linked-Size"] == str(file.size)
    assert all(link.startswith(f"<{node.url}/") for link in answer.headers["Link"].split(", "))


async def test_a_private_file_comes_to_its_reader_by_xet_and_to_nobody_else(stage: Stage) -> None:
    """HUB-PROTOCOL §7.17: cold, over two workers: whichever serves a xorb asks the Hub in the reader's name."""
    alice, bob = stage.user("alice"), stage.user("bob")
    repo = furnished(stage, private=True)
    repo.grant("alice")
    node = await stage.node(workers=2, xet__advertise_above=0)
    (outcome,) = await stage.client(CURRENT, node, [download(repo)], token=alice)
    stage.got(expected(repo, BIG), outcome)
    assert came_by_xet(stage, node)
    for token, status in ((bob, 404), ("", 401)):
        refused = await stage.ask(node, f"/api/models/{repo.id}/xet-read-token/{repo.head()}", token=token)
        assert refused.status == status, refused.transcript
        assert "Xet" not in str(refused.headers)


async def test_a_token_opens_the_files_of_its_repo_and_commit_alone(stage: Stage) -> None:
    """HUB-PROTOCOL §4.4: a hash says nothing about who may read."""
    repo, other = furnished(stage, size=3 * MIB), furnished(stage, "acme/other", size=5 * MIB)
    node = await stage.node()
    token = (await stage.ask(node, f"/api/models/{repo.id}/xet-read-token/main")).json["accessToken"]
    for spelling in ("v2/reconstructions", "v1/reconstructions", "reconstructions", "reconstruction"):
        found = await stage.ask(node, f"/__xet/{spelling}/{xet_hash(repo)}", token=token)
        assert found.status == 200, found.transcript
        assert ("xorbs" in found.json) is spelling.startswith("v2")
        foreign = await stage.ask(node, f"/__xet/{spelling}/{xet_hash(other)}", token=token)
        assert foreign.status == 404, foreign.transcript
    past_the_end = await stage.ask(
        node, f"/__xet/v2/reconstructions/{xet_hash(repo)}", token=token, Range=f"bytes={3 * MIB}-{4 * MIB}"
    )
    assert (past_the_end.status, past_the_end.headers["Content-Range"]) == (416, f"bytes */{3 * MIB}")
    for made_up in ("", "hf_somebody", token[:-8] + "AAAAAAAA"):
        refused = await stage.ask(node, f"/__xet/v2/reconstructions/{xet_hash(repo)}", token=made_up)
        assert refused.status in (401, 404), refused.transcript
    said = await stage.ask(node, "/__xet/v1/telemetry", method="POST", token=token)
    assert (said.status, said.json) == (200, {})


async def test_a_xorb_address_is_good_for_its_file_and_a_while(stage: Stage) -> None:
    """HUB-PROTOCOL §7.17: expired is 403, which clients mend; anything else is 404."""
    repo, other = furnished(stage, size=3 * MIB), furnished(stage, "acme/other", size=3 * MIB + 1)
    node = await stage.node(xet__url_ttl="2s")
    address, foreign = [await xorb_address(stage, node, one) for one in (repo, other)]
    stage.wants(expected(repo, BIG))
    opened = await stage.ask(node, address, Range="bytes=0-15")
    assert (opened.status, opened.body[:8]) == (206, bytes([0, 0, 0, 2, 0, 0, 0, 2]))
    assert opened.headers["Content-Range"] == f"bytes 0-15/{3 * MIB + 24 * 8}"
    behind = await stage.ask(node, address, Range=f"bytes={4 * MIB}-")
    assert behind.status == 416
    place, ticket = address.split("?t=")
    for wrong in (
        place,
        f"{place}?t=",
        f"{place}?t={ticket[:-4]}AAAA",
        f"{place}?t={foreign.partition('?t=')[2]}",
        f"{place[:-1]}1?t={ticket}",
    ):
        assert (await stage.ask(node, wrong)).status == 404, wrong

    async def expired() -> bool:
        return (await stage.ask(node, address, Range="bytes=0-15")).status == 403

    await until(expired, "the address expires", within=6.0)
    assert ticket not in node.access_log.read_text() + node.events.read_text()


async def test_a_revoked_reader_is_shut_out_when_the_right_has_run_out(stage: Stage) -> None:
    alice = stage.user("alice")
    repo = furnished(stage, size=3 * MIB, private=True)
    repo.grant("alice")
    node = await stage.node(xet__token_ttl="2s", freshness__allow_ttl="1s")
    minted = f"/api/models/{repo.id}/xet-read-token/{repo.head()}"
    token = (await stage.ask(node, minted, token=alice)).json["accessToken"]
    assert (await stage.ask(node, f"/__xet/v1/reconstructions/{xet_hash(repo)}", token=token)).status == 200
    repo.revoke("alice")

    async def shut_out() -> bool:
        found = await stage.ask(node, f"/__xet/v1/reconstructions/{xet_hash(repo)}", token=token)
        return found.status == 403 and (await stage.ask(node, minted, token=alice)).status == 404

    await until(shut_out, "alice has lost her right", within=8.0)


async def test_xet_goes_on_while_the_hub_is_away(stage: Stage) -> None:
    """HUB-PROTOCOL §7.3: warm, at a commit, of a public repo."""
    repo = furnished(stage)
    node = await stage.node(xet__advertise_above=0)
    calls = [{"op": "snapshot", "repo_id": repo.id, "revision": repo.head()}]
    (outcome,) = await stage.client(CURRENT, node, calls)
    stage.got_all(repo, outcome)
    await stage.hub_off()
    (outcome,) = await stage.client(CURRENT, node, calls)
    stage.got_all(repo, outcome)
    assert came_by_xet(stage, node)


async def test_a_plain_and_a_xet_reader_share_one_download(stage: Stage) -> None:
    repo = furnished(stage)
    file = expected(repo, BIG)
    node = await stage.node(workers=2, xet__advertise_above=0)
    stage.expect_origin_exact()
    stage.hub.faults.bandwidth = 20 * MIB
    plain = stage.reading(node, file)
    (outcome,) = await stage.client(CURRENT, node, [download(repo)])
    stage.got(file, outcome)
    await stage.ended(plain)
    assert plain.ending is Ending.COMPLETE


def limited(stage: Stage, version: str, node: Node) -> Client:
    """A client that takes nothing above 1 MB by plain HTTP."""
    client = stage.fresh_client(version, node)
    client.constants = {"MAX_HTTP_DOWNLOAD_SIZE": 1_000_000}
    return client


def xet_hash(repo: Repo) -> str:
    return repo.commits[repo.head()].files[BIG].xet_hash  # type: ignore[union-attr]


async def xorb_address(stage: Stage, node: Node, repo: Repo, **fields: str) -> str:
    token = (await stage.ask(node, f"/api/models/{repo.id}/xet-read-token/main")).json["accessToken"]
    found: Answer = await stage.ask(node, f"/__xet/v2/reconstructions/{xet_hash(repo)}", token=token, **fields)
    ((place,),) = found.json["xorbs"].values()
    assert place["url"].startswith(node.url)
    return str(place["url"].removeprefix(node.url))


@asynccontextmanager
async def the_hub_itself(stage: Stage) -> AsyncIterator[SyntheticHub]:
    """The same world at another address, with counters of its own: what is asked here is not the mirror's doing."""
    async with SyntheticHub.open(stage.world) as hub:
        yield hub
