"""What `penstock log` prints of an access log."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from proxy.cli.log import lines_of
from proxy.cli.main import main
from proxy.telemetry.accesslog import AccessRecord, rendered
from tests.kit.nursery import ENTRY, ROOT, born
from tests.kit.waiting import until

HIT = AccessRecord(
    at=1_700_000_000.25,
    request_id="r1",
    client="10.0.0.7",
    method="GET",
    host="mirror:8080",
    route="resolve",
    path="model.safetensors",
    status=206,
    size=3 * 1024 * 1024,
    cache="hit",
    source="disk",
    first_byte=0.001,
    duration=0.0126,
    agent="hf_hub/1.0",
    repo="acme/tiny",
)
REFUSED = HIT._replace(
    at=HIT.at + 60, method="HEAD", status=404, size=0, cache="miss", path="x", repo="acme/none", error="RepoNotFound"
)
ADMIN = HIT._replace(at=HIT.at + 61, route="health", repo=None, path="/-/livez", size=2, cache="none", status=200)

HIT_SAID = "2023-11-14T22:13:20Z 10.0.0.7 GET 206 hit 3.0 MiB 13 ms acme/tiny model.safetensors"
REFUSED_SAID = "2023-11-14T22:14:20Z 10.0.0.7 HEAD 404 miss 0 B 13 ms acme/none x (RepoNotFound)"
ADMIN_SAID = "2023-11-14T22:14:21Z 10.0.0.7 GET 200 none 2 B 13 ms mirror:8080 /-/livez"


def line(record: AccessRecord) -> bytes:
    return rendered(record, "full", b"")


def said(*words: str) -> Result:
    return CliRunner().invoke(main, ["log", *words])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log that was rotated once, and whose last line is being written."""
    file = tmp_path / "access.log"
    file.with_name("access.log.1").write_bytes(line(HIT))
    file.write_bytes(line(REFUSED) + b"no JSON\n" + line(ADMIN) + line(HIT)[:40])
    return file


def test_a_line_says_when_who_what_and_how(log: Path) -> None:
    assert said(str(log)).stdout.splitlines() == [HIT_SAID, REFUSED_SAID, ADMIN_SAID]


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (("-n", "1"), [ADMIN_SAID]),
        (("-n", "0"), []),
        (("--status", "404"), [REFUSED_SAID]),
        (("--status", "2XX"), [HIT_SAID, ADMIN_SAID]),
        (("--repo", "acme/t*"), [HIT_SAID]),
        (("--cache", "miss"), [REFUSED_SAID]),
        (("--client", "10.0.0.8"), []),
        (("--since", "1h"), []),
        (("--repo", "acme/*", "--status", "4xx", "--cache", "miss"), [REFUSED_SAID]),
    ],
)
def test_only_what_matches_everything_is_said(log: Path, words: tuple[str, ...], lines: list[str]) -> None:
    done = said(str(log), *words)
    assert (done.exit_code, done.stdout.splitlines()) == (0, lines)


def test_as_json_the_lines_are_as_they_were_written(log: Path) -> None:
    done = said(str(log), "--json", "--repo", "acme/*")
    assert done.stdout.encode() == line(HIT) + line(REFUSED)


def test_what_goes_to_standard_output_is_not_to_be_read_back() -> None:
    done = CliRunner().invoke(main, ["log"], env={"PENSTOCK_LOG__ACCESS": "-"})
    assert (done.exit_code, done.stdout) == (3, "")
    assert "journalctl" in done.stderr


async def test_followed_it_goes_on_through_a_rotation_until_ctrl_c(log: Path, tmp_path: Path) -> None:
    out, errors = tmp_path / "out", tmp_path / "errors"
    with out.open("wb") as output, errors.open("wb") as talk:
        words = ("-m", ENTRY, "log", str(log), "-n", "1", "--follow", "--json")
        child = await born(words, folder=ROOT, environment=dict(os.environ), output=output, errors=talk)
    try:
        await until(lambda: len(out.read_bytes().splitlines()) == 1, "the last line is there")
        numbers = iter(range(1000))

        def follows() -> bool:
            # what is written before it looks at the end of the file is not repeated
            with log.open("ab") as file:
                file.write(b"\n" + line(HIT._replace(request_id=f"n{next(numbers)}")))
            return len(out.read_bytes().splitlines()) > 1

        await until(follows, "new lines are said")
        log.rename(log.with_name("access.log.2"))
        log.write_bytes(line(REFUSED))
        await until(lambda: line(REFUSED) in out.read_bytes(), "the new file is read from its beginning")
        child.send_signal(signal.SIGINT)
        async with asyncio.timeout(15):
            assert await child.wait() == 0
    finally:
        child.kill()
    assert errors.read_text() == ""
    assert all(json.loads(text) for text in out.read_bytes().splitlines())


def test_followed_it_loses_no_line_to_a_moment(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither between the past and the present, nor those written last into a file that is rotated then."""
    monkeypatch.setattr("proxy.cli.log.LOOK_EVERY", 0.0)
    log.write_bytes(b"one\ntw")
    found = lines_of(log, follow=True)
    assert [next(found) for _ in range(3)] == [line(HIT), b"one\n", None]
    with log.open("ab") as file:
        file.write(b"o\nthree\n")
    assert [next(found), next(found)] == [b"two\n", b"three\n"]
    with log.open("ab") as file:
        file.write(b"four\nfi")
    log.rename(log.with_name("access.log.1"))
    log.write_bytes(b"six\n")
    assert [next(found), next(found)] == [b"four\n", b"six\n"]
    log.write_bytes(b"7\n")  # emptied in place, and begun anew
    assert next(found) == b"7\n"


def test_a_last_line_without_its_end_is_read(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"one\ntwo")
    assert list(lines_of(tmp_path / "log", follow=False)) == [b"one\n", b"two", None]


async def test_who_reads_what_is_said_may_leave(log: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as nobody, tempfile.TemporaryFile() as talk:
        words = ("-m", ENTRY, "log", str(log))
        child = await born(words, folder=ROOT, environment=dict(os.environ), output=nobody, errors=talk)
        try:
            assert await child.wait() == 1
        finally:
            child.kill()
        talk.seek(0)
        assert talk.read() == b"", "it is no failure of the log"
