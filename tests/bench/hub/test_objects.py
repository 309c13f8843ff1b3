"""Git, LFS and the registry on the wire, as the Hub answers them."""

import hashlib
import json

from bench.hub.content import MIB
from bench.hub.registry import small_layers
from bench.hub.world import LfsFile, World
from tests.bench.hub.asking import Ask


def model(world: World, path: str = "tiny-Q4_K_M.gguf") -> LfsFile:
    """A model in a repo of its own."""
    repo = world.add_model("acme/tiny-GGUF")
    repo.put_blob(path, MIB)
    repo.commit("Upload")
    file = repo.file(path)
    assert isinstance(file, LfsFile)
    return file


async def test_git_is_asked_for_basic_credentials_and_the_registry_for_bearer_ones(ask: Ask, world: World) -> None:
    git = await ask("/acme/private/info/refs?service=git-upload-pack")
    registry = await ask("/v2/acme/private/manifests/latest")
    assert (git.status, registry.status) == (401, 401)
    assert git["WWW-Authenticate"].startswith("Basic ")
    assert registry["WWW-Authenticate"].startswith("Bearer realm=")


async def test_the_overture_names_the_refs(ask: Ask) -> None:
    reply = await ask("/acme/tiny.git/info/refs?service=git-upload-pack")
    assert reply["Content-Type"] == "application/x-git-upload-pack-advertisement"
    assert b"refs/heads/main" in reply.body


async def test_a_batch_gives_addresses_of_this_repo_s_objects_alone(ask: Ask, world: World) -> None:
    file = model(world)
    objects = [{"oid": file.blob.sha256, "size": file.size}]
    body = json.dumps({"operation": "download", "objects": objects}).encode()
    target = "/{}.git/info/lfs/objects/batch"
    own = json.loads((await ask(target.format("acme/tiny-GGUF"), method="POST", data=body)).body)
    other = json.loads((await ask(target.format("acme/tiny"), method="POST", data=body)).body)
    assert "X-Amz-Signature" in own["objects"][0]["actions"]["download"]["href"]
    assert other["objects"][0]["error"]["code"] == 404


async def test_only_llama_learns_the_name_of_the_file(ask: Ask, world: World) -> None:
    file = model(world)
    target = "/v2/acme/tiny-GGUF/manifests/q4_k_m"
    named = json.loads((await ask(target, User_Agent="llama-cpp")).body)
    plain = json.loads((await ask(target)).body)
    assert named["ggufFile"]["rfilename"] == "tiny-Q4_K_M.gguf"
    assert "ggufFile" not in plain
    assert plain["layers"][0]["digest"] == f"sha256:{file.blob.sha256}"
    assert (await ask("/v2/acme/tiny-GGUF/manifests/Q1")).status == 404


async def test_large_blobs_are_at_the_cdn_and_small_ones_here(ask: Ask, world: World) -> None:
    file = model(world)
    large = await ask(f"/v2/acme/tiny-GGUF/blobs/sha256:{file.blob.sha256}")
    assert large.status == 307
    for content in small_layers(world.repo("acme/tiny-GGUF"), "tiny-Q4_K_M.gguf").values():
        small = await ask(f"/v2/acme/tiny-GGUF/blobs/sha256:{hashlib.sha256(content).hexdigest()}")
        assert (small.status, small.body) == (200, content)
