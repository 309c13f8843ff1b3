"""Ranges and conditions through real HTTP (RFC 9110 §13, §14)."""

from __future__ import annotations

import os
import re

import pytest

from proxy.hub.lfs import git_sha1
from tests.front.fakes import COMMIT, FakeCoordinator, at_commit
from tests.front.node import serving

CONTENT = os.urandom(10_000)
SIZE = len(CONTENT)

RANGES = {
    "bytes=0-99": (206, CONTENT[:100], "bytes 0-99/10000"),
    "bytes=9990-": (206, CONTENT[9990:], "bytes 9990-9999/10000"),
    "bytes=-5": (206, CONTENT[-5:], "bytes 9995-9999/10000"),
    "bytes=-99999": (206, CONTENT, "bytes 0-9999/10000"),
    "bytes=9999-20000": (206, CONTENT[-1:], "bytes 9999-9999/10000"),
    "bytes=10000-": (416, b"", "bytes */10000"),
    "bytes=-0": (416, b"", "bytes */10000"),
    "bytes=5-2": (200, CONTENT, None),
    "bytes=a-b": (200, CONTENT, None),
    "lines=0-5": (200, CONTENT, None),
    "bytes=0-5,3-9": (200, CONTENT, None),
}


@pytest.mark.parametrize("field", RANGES)
async def test_range(coordinator: FakeCoordinator, field: str) -> None:
    coordinator.add("a.bin", CONTENT)
    async with serving(coordinator) as node, node.client() as client:
        await client.send(at_commit("a.bin"), f"Range: {field}")
        answer = await client.answer()
        assert (answer.status, answer.body, answer.headers.get("content-range")) == RANGES[field]
        assert answer.headers["accept-ranges"] == "bytes"
        await client.send("/-/livez")
        assert (await client.answer()).status == 200


async def test_head_ignores_range(coordinator: FakeCoordinator) -> None:
    coordinator.add("a.bin", CONTENT)
    async with serving(coordinator) as node:
        answer = await node.ask(at_commit("a.bin"), "Range: bytes=0-9", method="HEAD")
    assert (answer.status, answer.headers["content-length"]) == (200, "10000")


async def test_several_ranges_are_multipart(coordinator: FakeCoordinator) -> None:
    coordinator.add("a.bin", CONTENT)
    async with serving(coordinator) as node, node.client() as client:
        await client.send(at_commit("a.bin"), "Range: bytes=0-9,5000-5009,-10")
        answer = await client.answer()
        await client.send("/-/livez")
        assert (await client.answer()).status == 200
    assert answer.status == 206
    match = re.fullmatch(r"multipart/byteranges; boundary=(\w+)", answer.headers["content-type"])
    assert match is not None
    parts = answer.body.split(f"--{match[1]}".encode())
    assert parts[0].strip() == b""
    assert parts[-1].strip() == b"--"
    assert [part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in parts[1:-1]] == [
        CONTENT[:10],
        CONTENT[5000:5010],
        CONTENT[-10:],
    ]
    assert b"Content-Range: bytes 5000-5009/10000" in parts[2]


async def test_error_in_a_later_part_breaks_the_connection(coordinator: FakeCoordinator) -> None:
    coordinator.add("a.bin", CONTENT)
    async with serving(coordinator) as node, node.client() as client:
        await client.send(at_commit("a.bin"), "Range: bytes=0-9,5000-5009")
        coordinator.step, coordinator.end_after = 5, 5
        length = int((await client.head()).headers["content-length"])
        assert len(await client.ended()) < length
        assert (await node.books.settled()).failure == "ShortBody"


ETAG = "<etag>"
CONDITIONS = {
    ("If-None-Match: <etag>",): 304,
    ('If-None-Match: "x", W/<etag>',): 304,
    ("If-None-Match: *",): 304,
    ('If-None-Match: "x"',): 200,
    ('If-None-Match: "x"', "If-None-Match: <etag>"): 304,
    ("If-None-Match: <etag>", "Range: bytes=0-9"): 304,
    ("If-None-Match: <etag>", "Range: bytes=99999-"): 304,
    ("If-Match: <etag>",): 200,
    ("If-Match: *",): 200,
    ('If-Match: "x"',): 412,
    ('If-Match: "x"', "If-None-Match: <etag>"): 412,
    ("If-Range: <etag>", "Range: bytes=0-9"): 206,
    ('If-Range: "x"', "Range: bytes=0-9"): 200,
    ("If-Range: W/<etag>", "Range: bytes=0-9"): 200,
    ('If-Range: "x"', "Range: bytes=99999-"): 200,
}


@pytest.mark.parametrize("fields", CONDITIONS, ids=" + ".join)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_condition(coordinator: FakeCoordinator, fields: tuple[str, ...], method: str) -> None:
    facts = coordinator.add("a.bin", CONTENT)
    expected = CONDITIONS[fields]
    async with serving(coordinator) as node, node.client() as client:
        await client.send(at_commit("a.bin"), *(f.replace(ETAG, f'"{facts.etag}"') for f in fields), method=method)
        answer = await client.answer(method)
        assert answer.status == (200 if method == "HEAD" and expected == 206 else expected)
        assert answer.headers["etag"] == f'"{facts.etag}"'
        assert answer.headers["x-repo-commit"] == COMMIT
        await client.send("/-/livez")  # framing held
        assert (await client.answer()).status == 200


@pytest.mark.parametrize("range_field", [(), ("Range: bytes=0-0",), ("Range: bytes=-5",)])
async def test_empty_file_is_a_200_whatever_the_range(
    coordinator: FakeCoordinator, range_field: tuple[str, ...]
) -> None:
    coordinator.add("empty", b"", linked=False)
    async with serving(coordinator) as node, node.client() as client:
        await client.send(at_commit("empty"), *range_field)
        answer = await client.answer()
        assert (answer.status, answer.headers["content-length"]) == (200, "0")
        assert answer.headers.get("content-range") == ("bytes */0" if range_field else None)
        await client.send("/-/livez")
        assert (await client.answer()).status == 200


async def test_raw_of_a_linked_file_is_its_pointer(coordinator: FakeCoordinator) -> None:
    facts = coordinator.add("a.bin", CONTENT)
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{facts.etag}\nsize {SIZE}\n".encode()
    async with serving(coordinator) as node:
        answer = await node.ask(f"/acme/tiny/raw/{COMMIT}/a.bin")
        part = await node.ask(f"/acme/tiny/raw/{COMMIT}/a.bin", "Range: bytes=0-6")
    assert answer.body == pointer
    assert answer.headers["etag"] == f'"{git_sha1(pointer)}"'
    assert (part.status, part.body) == (206, b"version")


async def test_raw_of_a_git_file_is_the_file(coordinator: FakeCoordinator) -> None:
    coordinator.add("README.md", b"# hello", linked=False)
    async with serving(coordinator) as node:
        answer = await node.ask(f"/acme/tiny/raw/{COMMIT}/README.md")
    assert (answer.status, answer.body) == (200, b"# hello")


async def test_raw_of_a_branch_redirects_to_raw_of_the_commit(coordinator: FakeCoordinator) -> None:
    coordinator.add("README.md", b"# hello", linked=False)
    async with serving(coordinator) as node:
        answer = await node.ask("/acme/tiny/raw/main/README.md")
    assert (answer.status, answer.headers["location"]) == (307, f"/acme/tiny/raw/{COMMIT}/README.md")
