"""The registry plane: ollama's and llama.cpp's call sequences (HUB-PROTOCOL §5.2, §5.3, §7.26, §7.27)."""

from __future__ import annotations

import pytest

from bench.hub.content import MIB
from bench.hub.registry import small_layers
from bench.hub.repo import Repo
from tests.kit.files import Expected, digest, expected
from tests.kit.llama import Failed, Llama
from tests.kit.node import Node
from tests.kit.ollama import Ollama, Refused
from tests.kit.stage import Stage
from tests.kit.waiting import until

MODEL = "sub dir/tiny [v1]-Q4_K_M.gguf"
PART = MIB // 2


def made(stage: Stage, repo_id: str = "acme/tiny-GGUF", *, size: int = 8 * MIB, **traits: bool) -> Repo:
    repo = stage.world.add_model(repo_id, **traits)
    repo.put_text("README.md", "# tiny\n")
    repo.put_blob(MODEL, size)
    repo.put_blob("tiny-Q8_0.gguf", MIB)
    repo.commit("Upload")
    repo.grant("alice")
    return repo


def wanted(stage: Stage, repo: Repo) -> Expected:
    stage.others_ask()
    file = expected(repo, MODEL)
    stage.wants(file)
    return file


async def pulled(stage: Stage, node: Node, repo: Repo, *, tag: str = "Q4_K_M", token: str | None = None) -> None:
    """ollama pulls, and has the model and its three small layers."""
    file = wanted(stage, repo)
    stage.allow_origin(8 * MIB)  # four spans of 2 MiB, under way when ollama leaves the body of its first GET
    layers = await Ollama(node.url, PART, token).pull(repo.id, tag)
    assert set(layers) == {f"sha256:{file.sha256}"} | {
        f"sha256:{digest(one)}" for one in small_layers(repo, MODEL).values()
    }


async def test_ollama_pulls_cold_and_warm(stage: Stage) -> None:
    """HUB-PROTOCOL §7.27: sixteen parts without Authorization; the second pull asks nobody."""
    repo = made(stage)
    node = await stage.node(workers=2)
    await pulled(stage, node, repo)
    asked = stage.hub.counters.total_requests()
    await pulled(stage, node, repo)
    assert stage.hub.counters.total_requests() <= asked + 1
    await stage.hub_off()
    await pulled(stage, node, repo)


async def test_ollama_pulls_a_private_model_with_a_token(stage: Stage) -> None:
    """HUB-PROTOCOL §5.3: the challenge leads to a realm of this host; the parts come without Authorization."""
    alice = stage.user("alice")
    repo = made(stage, "acme/secret-GGUF", private=True)
    node = await stage.node(workers=2)
    await pulled(stage, node, repo, token=alice)
    await pulled(stage, node, repo, token=alice)


async def test_ollama_is_refused_what_it_may_not_have(stage: Stage) -> None:
    """HUB-PROTOCOL §7.17, §7.27: a stranger, nobody, and a tag that is not there."""
    alice, bob = stage.user("alice"), stage.user("bob")
    repo = made(stage, "acme/secret-GGUF", private=True)
    node = await stage.node()
    file = wanted(stage, repo)
    await pulled(stage, node, repo, token=alice)
    for token in (bob, None, "hf_CANARYnobody"):
        with pytest.raises(Refused) as refused:
            await Ollama(node.url, PART, token).pull(repo.id, "Q4_K_M")
        assert refused.value.status in (401, 403, 404)
        blob = await stage.ask(node, f"/v2/{repo.id}/blobs/sha256:{file.sha256}", token=token or "")
        assert blob.status in (401, 404), blob.transcript
    with pytest.raises(Refused, match="does not exist"):
        await Ollama(node.url, PART, alice).pull(repo.id, "Q1")


async def test_a_blob_s_address_opens_that_blob_alone(stage: Stage) -> None:
    alice = stage.user("alice")
    repo = made(stage, "acme/secret-GGUF", private=True)
    node = await stage.node()
    file = wanted(stage, repo)
    await pulled(stage, node, repo, token=alice)
    blob = await stage.ask(node, f"/v2/{repo.id}/blobs/sha256:{file.sha256}", token=alice)
    assert blob.status == 200
    location = blob.headers["Location"]
    part = await stage.ask(node, location, Range="bytes=5-9")
    assert (part.status, part.body) == (206, file.blob.read(5, 5))
    (other, *_) = small_layers(repo, MODEL).values()
    ticket = location.partition("?")[2]
    assert (await stage.ask(node, f"/v2/{repo.id}/blobs/sha256:{digest(other)}?{ticket}")).status == 404
    assert (await stage.ask(node, location + "x")).status == 404


async def test_a_blob_s_address_outlives_the_node_that_gave_it_but_not_the_right(stage: Stage) -> None:
    """ollama asks once for an address, and pulls for hours: through a restart, and while the right stands."""
    alice = stage.user("alice")
    repo = made(stage, "acme/secret-GGUF", private=True)
    node = await stage.node(workers=2, freshness__allow_ttl="1s", freshness__deny_ttl="300ms")
    file = wanted(stage, repo)
    stage.allow_origin(8 * MIB)
    assert (await stage.ask(node, f"/v2/{repo.id}/manifests/Q4_K_M", token=alice)).status == 200
    blob = await stage.ask(node, f"/v2/{repo.id}/blobs/sha256:{file.sha256}", token=alice)
    location = blob.headers["Location"]
    await stage.stop(node)
    await stage.start(node)

    async def status() -> int:
        return (await stage.ask(node, location, Range="bytes=5-9")).status

    async def is_shut() -> bool:
        return await status() in (401, 403, 404)

    async def is_open() -> bool:
        return await status() == 206

    assert await is_open()
    repo.revoke("alice")
    await until(is_shut, "the right has run out")
    repo.grant("alice")
    await until(is_open, "the refusal has run out")


async def test_the_registry_says_that_it_is_one(stage: Stage) -> None:
    node = await stage.node()
    answer = await stage.ask(node, "/v2/")
    assert (answer.status, answer.headers["Docker-Distribution-API-Version"]) == (200, "registry/2.0")


async def test_llama_s_manifest_is_not_mixed_with_ollama_s(stage: Stage) -> None:
    """HUB-PROTOCOL §7.26: the body depends on who asks, whoever came first."""
    repo = made(stage)
    node = await stage.node(workers=2)
    target = f"/v2/{repo.id}/manifests/latest"
    for _ in range(2):
        named = await stage.ask(node, target, User_Agent="llama-cpp")
        plain = await stage.ask(node, target, User_Agent="ollama/0.12.0 (amd64 linux) Go/go1.24.1")
        assert "ggufFile" in named.json
        assert "ggufFile" not in plain.json
    assert stage.hub.counters.total_requests("oci-manifest") == 2


async def test_llama_by_the_tree_cold_and_warm(stage: Stage) -> None:
    """HUB-PROTOCOL §7.26: a path with blanks and brackets, killed in the middle and gone on."""
    repo = made(stage)
    node = await stage.node(workers=2)
    file = wanted(stage, repo)
    for leave_after in (3 * MIB, None):
        found = await Llama(node.url, leave_after=leave_after).by_tree(repo.id, "q4_k_m")
        assert {path: digest(content) for path, content in found.items()} == {MODEL: file.sha256}


async def test_llama_by_the_manifest_cold_and_warm(stage: Stage) -> None:
    """HUB-PROTOCOL §7.26: the older way."""
    repo = made(stage)
    node = await stage.node(workers=2)
    file = wanted(stage, repo)
    for _ in range(2):
        found = await Llama(node.url).by_manifest(repo.id, "q4_k_m")
        assert {path: digest(content) for path, content in found.items()} == {MODEL: file.sha256}


async def test_llama_is_refused_what_it_may_not_have(stage: Stage) -> None:
    """HUB-PROTOCOL §7.17, for both of its ways."""
    alice, bob = stage.user("alice0123456789012345678901"), stage.user("bob")
    repo = made(stage, "acme/secret-GGUF", private=True)
    repo.grant("alice0123456789012345678901")
    node = await stage.node()
    file = wanted(stage, repo)
    hers = await Llama(node.url, alice).by_tree(repo.id, "Q4_K_M")
    assert digest(hers[MODEL]) == file.sha256
    assert (await Llama(node.url, alice).by_manifest(repo.id, "Q4_K_M")).keys() == {MODEL}
    for token in (bob, None):
        for way in (Llama(node.url, token).by_tree, Llama(node.url, token).by_manifest):
            with pytest.raises(Failed) as failed:
                await way(repo.id, "Q4_K_M")
            assert failed.value.status in (401, 403, 404)
