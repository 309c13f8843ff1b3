"""HUB-PROTOCOL §7.29: curl, as people try a mirror by hand."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from bench.hub.content import MIB
from tests.kit.files import Expected, digest
from tests.kit.node import Node
from tests.kit.stage import Stage
from tests.kit.tools import needed


@dataclass(frozen=True, slots=True)
class Curled:
    """What curl wrote: the heads of all answers (lower-case), and the last body."""

    heads: tuple[str, ...]
    body: bytes

    @property
    def status(self) -> int:
        return int(self.heads[-1].split()[1])

    def field(self, name: str) -> str | None:
        lines = (line.partition(": ") for line in self.heads[-1].splitlines()[1:])
        return next((text for key, _, text in lines if key == name), None)


async def curl(stage: Stage, url: str, *options: str) -> Curled:
    heads, body = stage.folder / "heads", stage.folder / "body"
    body.write_bytes(b"")
    process = await asyncio.create_subprocess_exec(
        *(needed("curl"), "--silent", "--show-error", "--max-time", "20", "--noproxy", "*"),
        *("--dump-header", str(heads), "--output", str(body), *options, url),
        env={"PATH": "/usr/bin:/bin", "HOME": str(stage.folder)},
    )
    assert await asyncio.wait_for(process.wait(), 30) == 0
    blocks = heads.read_bytes().decode("latin-1").replace("\r\n", "\n").strip().split("\n\n")
    return Curled(
        tuple("\n".join(_lower_name(line) for line in block.splitlines()) for block in blocks), body.read_bytes()
    )


def _lower_name(line: str) -> str:
    name, colon, text = line.partition(":")
    return f"{name.lower()}{colon}{text}"


@pytest.fixture
async def mirror(stage: Stage) -> tuple[Node, Expected]:
    file = stage.blob("acme/tiny", "model.safetensors", 2 * MIB + 3)
    stage.wants(file)
    stage.others_ask()
    return await stage.node(), file


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("0-0", 0, 1), ("5-", 5, 2 * MIB + 3), ("-5", 2 * MIB - 2, 2 * MIB + 3), ("1000-2000", 1000, 2001)],
)
async def test_ranges(
    stage: Stage, mirror: tuple[Node, Expected], asked: str, start: int, stop: int, warm: bool
) -> None:
    node, file = mirror
    if warm:
        await stage.read(node, file)
    got = await curl(stage, node.url + file.target(), "-r", asked)
    assert got.status == 206
    assert got.field("content-range") == f"bytes {start}-{stop - 1}/{file.size}"
    assert got.body == file.blob.read(start, stop - start)


async def test_a_range_past_the_end_is_refused_with_the_size(stage: Stage, mirror: tuple[Node, Expected]) -> None:
    node, file = mirror
    got = await curl(stage, node.url + file.target(), "-r", "999999999-")
    assert (got.status, got.field("content-range")) == (416, f"bytes */{file.size}")


async def test_a_head_has_the_fields_of_the_get_and_no_body(stage: Stage, mirror: tuple[Node, Expected]) -> None:
    node, file = mirror
    head = await curl(stage, node.url + file.target(), "--head")
    get = await curl(stage, node.url + file.target())
    for name in ("content-length", "etag", "x-repo-commit", "x-linked-etag", "x-linked-size", "accept-ranges"):
        assert head.field(name) == get.field(name), name
    assert head.field("content-length") == str(file.size)
    assert digest(get.body) == file.sha256


async def test_who_has_the_file_is_told_so(stage: Stage, mirror: tuple[Node, Expected]) -> None:
    node, file = mirror
    got = await curl(stage, node.url + file.target(), "-H", f'If-None-Match: "{file.etag}"')
    assert (got.status, got.body) == (304, b"")


async def test_bytes_are_never_encoded(stage: Stage, mirror: tuple[Node, Expected]) -> None:
    node, file = mirror
    repo = stage.repo("acme/tiny")
    repo.put_text("config.json", b"{}" * 2000)
    repo.commit("Add config")
    for path in (file.target(), "/acme/tiny/resolve/main/config.json"):
        got = await curl(stage, node.url + path, "-L", "-H", "Accept-Encoding: gzip, deflate, br, zstd")
        assert got.field("content-encoding") in (None, "identity")
        assert got.field("content-length") == str(len(got.body))


async def test_following_redirects_stays_with_the_mirror(stage: Stage, mirror: tuple[Node, Expected]) -> None:
    node, file = mirror
    got = await curl(stage, node.url + file.target("main"), "-L")
    assert digest(got.body) == file.sha256
    locations = [line for head in got.heads for line in head.splitlines() if line.startswith("location:")]
    assert locations == [f"location: {file.target()}"]


async def test_several_ranges_come_as_parts_or_as_the_whole(stage: Stage, mirror: tuple[Node, Expected]) -> None:
    node, file = mirror
    got = await curl(stage, node.url + file.target(), "-r", "0-9,1000000-1000009")
    assert got.status in (200, 206)
    if got.status == 206:
        assert (got.field("content-type") or "").startswith("multipart/byteranges; boundary=")
        assert file.blob.read(0, 10) in got.body
        assert file.blob.read(1_000_000, 10) in got.body
    assert got.field("content-length") == str(len(got.body))


async def test_every_answer_says_how_it_came_about(stage: Stage, mirror: tuple[Node, Expected]) -> None:
    node, file = mirror
    await stage.read(node, file)
    got = await curl(stage, node.url + file.target())
    assert (got.field("cache-status") or "").startswith("penstock; hit")
    assert got.field("x-request-id")
    assert got.field("accept-ranges") == "bytes"
