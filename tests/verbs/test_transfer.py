"""`penstock export` and `import`: bundles between real nodes, and the caches of others as seed."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import tarfile
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from bench.hub.content import MIB
from proxy.service.named import ASSEMBLY
from tests.kit.command import penstock
from tests.kit.files import all_files
from tests.service.running import ROOT, running

from .verbs import Operator, operated

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Exported:
    """A bundle, the key it is signed by, and the node that wrote it."""

    operator: Operator
    bundle: Path
    key: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def exported(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Exported]:
    folder = tmp_path_factory.mktemp("export")
    async with operated(folder) as operator:
        repo = operator.stage.repo("acme/moved")
        repo.put_text("config.json", '{"a": 1}')
        repo.put_text("README.md", "# Moved")
        repo.put_text("empty.txt", "")
        repo.put_text("vocab.txt", "word\n" * 400_000)
        repo.put_blob("model.safetensors", 3 * MIB)
        repo.commit("Add files")
        assert (await operator.says("warm", "acme/moved")).returncode == 0
        bundle = folder / "models.tar"
        job = await operator.json("export", str(bundle), "acme/moved")
        yield Exported(operator, bundle, job["result"]["key"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def other_side(tmp_path_factory: pytest.TempPathFactory, exported: Exported) -> AsyncIterator[Operator]:
    """A node of the same Hub, which is away."""
    stage = exported.operator.stage
    node = await stage.node(workers=2)
    await stage.hub.off()
    yield Operator(stage, node)


async def test_any_tar_can_look_into_a_bundle(exported: Exported) -> None:
    with tarfile.open(exported.bundle) as tar:
        names = tar.getnames()
        assert names[0] == "penstock-bundle.json"
        assert names[-1] == "penstock-bundle.sig"
        first = tar.extractfile(names[0])
        assert first is not None
        manifest = json.loads(first.read())
        for name in names[1:-1]:
            content = tar.extractfile(name)
            assert content is not None
            if name.startswith("blobs/sha256-"):
                assert hashlib.sha256(content.read()).hexdigest() == name.removeprefix("blobs/sha256-")
    assert {file["path"] for file in manifest["repos"][0]["files"]} >= {"model.safetensors", "empty.txt"}


async def test_an_export_overwrites_nothing_and_wants_whole_files(exported: Exported, tmp_path: Path) -> None:
    again = await exported.operator.says("export", str(exported.bundle), "acme/moved")
    assert again.returncode == 1
    assert "is left as it is" in again.stderr
    part = exported.operator.stage.blob("acme/part", "model.safetensors", 16 * MIB)
    await exported.operator.stage.read(exported.operator.node, part, span=(0, MIB))
    refused = await exported.operator.says("export", str(tmp_path / "part.tar"), "acme/part@" + part.commit)
    assert refused.returncode == 1
    assert "penstock warm acme/part" in refused.stderr
    assert list(tmp_path.iterdir()) == []


async def test_one_job_alone_writes_to_a_place(tmp_path: Path) -> None:
    async with operated(tmp_path) as operator:
        file = operator.stage.blob("acme/tiny", "model.safetensors", 3 * MIB)
        await operator.stage.read(operator.node, file)
        await operator.stage.hub_off()
        for number in (1, 2):  # they wait for the Hub, and whatever is ordered after them waits for them
            await operator.json("warm", f"acme/other-{number}", "--background")
        words = ("export", str(tmp_path / "a.tar"), f"acme/tiny@{file.commit}", "--background")
        first = await operator.json(*words)
        again = await operator.says(*words)
        assert (again.returncode, first["id"] in again.stderr) == (5, True)
        assert (await operator.says("export", str(tmp_path / "b.tar"), *words[2:])).returncode == 0


@pytest.mark.parametrize("where", ["head", "manifest", "middle", "padding", "signature", "end", "cut", "longer"])
async def test_a_bundle_changed_in_any_byte_is_refused(
    exported: Exported, other_side: Operator, tmp_path: Path, where: str
) -> None:
    content = bytearray(exported.bundle.read_bytes())
    with tarfile.open(exported.bundle) as tar:
        members = {member.name: member for member in tar.getmembers()}
    manifest, signature = members["penstock-bundle.json"], members["penstock-bundle.sig"]
    small = next(member for name, member in members.items() if name.startswith("blobs/git-"))
    match where:
        case "cut":
            del content[-512:]
        case "longer":
            content += bytes(512)
        case _:
            at = {
                "head": 120,
                "manifest": manifest.offset_data + 30,
                "middle": len(content) // 2,
                "padding": small.offset_data + small.size + 1,
                "signature": signature.offset_data + 90,
                "end": len(content) - 3,
            }[where]
            content[at] ^= 1
    changed = tmp_path / "changed.tar"
    changed.write_bytes(content)
    done = await other_side.says("import", str(changed), "--trust", exported.key)
    assert done.returncode == 1, done.said
    assert "is refused" in done.stderr
    assert (await other_side.says("info", "acme/moved")).returncode == 3


async def test_a_strangers_bundle_is_refused_with_the_key_to_trust(exported: Exported, other_side: Operator) -> None:
    done = await other_side.says("import", str(exported.bundle))
    assert done.returncode == 1
    assert f"--trust {exported.key}" in done.stderr


async def test_what_was_imported_is_downloaded_while_the_hub_is_away(exported: Exported, other_side: Operator) -> None:
    job = await other_side.json("import", str(exported.bundle), "--trust", exported.key)
    stage = other_side.stage
    assert job["files"] == 5
    (outcome,) = await stage.client("2.4.0", other_side.node, [{"op": "snapshot", "repo_id": "acme/moved"}])
    repo = stage.world.repo("acme/moved")
    assert stage.got_all(repo, outcome) == {file.path for file in all_files(repo)}
    page = await other_side.node.metrics()
    assert page.total("import_bytes_total") == page.total("fill_bytes_total") > 5_000_000
    again = await other_side.json("import", str(exported.bundle), "--trust", exported.key)
    assert again["files"] == 5
    assert (await other_side.node.metrics()).total("import_bytes_total") == page.total("import_bytes_total")
    assert (await other_side.json("verify", "acme/moved"))["result"]["right"] == 5


async def test_a_cache_of_huggingface_hub_is_a_seed(tmp_path: Path) -> None:
    async with operated(tmp_path) as operator:
        stage = operator.stage
        repo = stage.repo("acme/seeded")
        repo.put_text("config.json", '{"a": 1}')
        model = stage.blob("acme/seeded", "model.safetensors", 3 * MIB)
        client = stage.fresh_client("2.4.0", operator.node)
        await stage.client("2.4.0", operator.node, [{"op": "snapshot", "repo_id": "acme/seeded"}], client=client)
        other = Operator(stage, await stage.node())
        job = await other.json("import", "--hf-cache", str(client.cache))
        assert (job["files"], job["result"]["left_out"]) == (2, {})
        before = (await other.node.metrics()).total("fill_bytes_total")
        reading = await stage.read(other.node, model)
        assert reading.complete, reading
        assert (await other.node.metrics()).total("fill_bytes_total") == before, "it was here"


async def test_a_cache_of_olah_is_a_seed(tmp_path: Path) -> None:
    async with operated(tmp_path) as operator:
        right = operator.stage.blob("acme/olah", "weights/model.safetensors", 3 * MIB)
        wrong = operator.stage.blob("acme/rotten", "model.safetensors", MIB)
        root = tmp_path / "olah"
        content = right.blob.read(0, right.size)
        olah_entry(root, f"models/{right.repo}/resolve/{right.commit}/{right.path}", content, right.etag)
        olah_entry(root, f"models/{wrong.repo}/resolve/{wrong.commit}/{wrong.path}", bytes(MIB), wrong.etag)
        job = await operator.json("import", "--olah", str(root))
        assert job["files"] == 1
        assert list(job["result"]["left_out"]) == [f"acme/rotten@{wrong.commit}/model.safetensors"]
        before = (await operator.node.metrics()).total("fill_bytes_total")
        reading = await operator.stage.read(operator.node, right)
        assert reading.complete, reading
        assert (await operator.node.metrics()).total("fill_bytes_total") == before, "it was here"


OLAH_META = {
    "config.json": (
        "T0xBSAoAAQBdAAAAAAAABAAAAAAIAAAAAAAAAAAAABAAKgAAAAAAAAAAACI0YTAzNmY1NmJiNjE5OTI0ZWM0MTg5YmQ4NGVkNzE2Yzc2Njk3MWFlIgAA"
        "AAB4GZEQ"
    ),
    "weights/model.safetensors": (
        "T0xBSAoAAQB1AAAAAAAABAAAAACIEwAAAAAAAAAAABAAQgAAAAAAAAAAACI2ZjBmMWM3Yzg3YWY2NjczODEyM2IyMDFmOGI5NzExOTk0OTEzOThmZDYx"
        "YjRlZjY3YWI4MjgxM2M4N2E3ODQxIgAAAACILyxq"
    ),
}
"""`meta.bin` as Olah 0.5.4 itself wrote it, before the synthetic Hub with these two files; beside it are `blocks`,
empty locks and a `chunks.crc`."""


async def test_what_olah_itself_wrote_is_a_seed(tmp_path: Path) -> None:
    async with operated(tmp_path) as operator:
        repo = operator.stage.repo("acme/olah")
        repo.put_text("config.json", '{"a": 1}')
        repo.put_blob("weights/model.safetensors", 5000)
        repo.commit("Upload")
        for path, meta in OLAH_META.items():
            file = operator.stage.file("acme/olah", path)
            folder = tmp_path / "olah" / "files" / "models" / "acme" / "olah" / "resolve" / file.commit / path
            (folder / "blocks").mkdir(parents=True)
            (folder / "meta.bin").write_bytes(base64.b64decode(meta))
            (folder / "meta.lock").touch()
            (folder / "chunks.crc").write_bytes(bytes(4))
            (folder / "blocks" / "block_00000000.bin").write_bytes(file.blob.read(0, file.size))
            (folder / "blocks" / "block_00000000.bin.dl.lock").touch()
        job = await operator.json("import", "--olah", str(tmp_path / "olah"))
        assert (job["files"], job["result"]["left_out"]) == (2, {})


def olah_entry(root: Path, name: str, content: bytes, etag: str) -> None:
    """An entry as Olah 0.5.4 writes it (`OlahCacheHeader.write`, `get_block_path`)."""
    folder = root / "files" / name
    (folder / "blocks").mkdir(parents=True)
    block = 2 * MIB
    label = f'"{etag}"'.encode()
    length = 43 + len(label) + 4 + 4
    head = struct.pack("<4sHHIQQBIH8s", b"OLAH", 10, 1, length, block, len(content), 0, MIB, len(label), bytes(8))
    body = head + label + struct.pack("<I", 0)
    (folder / "meta.bin").write_bytes(body + struct.pack("<I", zlib.crc32(body)))
    for index in range(0, len(content), block):
        (folder / "blocks" / f"block_{index // block:08d}.bin").write_bytes(content[index : index + block])


async def test_a_node_without_an_origin_serves_what_was_carried_to_it(exported: Exported, tmp_path: Path) -> None:
    file = next(one for one in all_files(exported.operator.stage.repo("acme/moved")) if one.path == "model.safetensors")
    async with running(tmp_path, "--config", str(ROOT / "config" / "airgap.toml"), assembly=ASSEMBLY) as node:
        admin = ("--admin", node.standing["admin"])
        taken = await penstock("import", str(exported.bundle), "--trust", exported.key, *admin)
        assert taken.returncode == 0, taken.said
        for target in (file.target("main"), file.target()):
            async with node.ask(target) as answer:
                assert answer.status == 200
                assert hashlib.sha256(await answer.read()).hexdigest() == file.sha256
        info = await node.get("/api/models/acme/moved")
        assert info["sha"] == file.commit
        async with node.ask("/acme/elsewhere/resolve/main/config.json") as answer:
            assert answer.status in (429, 502), "as when the origin is away; it may exist elsewhere"
        asked = await penstock("explain", "/acme/moved/resolve/main/model.safetensors", *admin)
        assert "a hit" in asked.said
