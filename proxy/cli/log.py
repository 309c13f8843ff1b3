"""`penstock log`: the access log, read, filtered, followed."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import click
import orjson

from proxy.core.clock import SystemClock
from proxy.core.sizes import format_size, parse_duration

from .codes import Exit
from .flags import file_flag
from .serve import configuration_or_exit
from .talk import fail, put

LOOK_EVERY: Final = 0.3


@click.command(
    help="""Read the access log of this machine's node: the last lines, some of them, or as they come.

    \b
    Examples:
      penstock log -n 50
      penstock log --status 5xx --since 1h
      penstock log --repo 'meta-llama/*' --cache miss --follow
      penstock log --json | jq 'select(.dur_ms > 1000)'

    It reads the file of log.access (or FILE), and the one before it when it was rotated meanwhile. A line says when
    (UTC), who, method, status, how it was had, bytes sent, how long it took, repo (or host) and path, and what went
    wrong.
    Exit codes: 0 ok, 2 wrong words, 3 there is no such file.
    """
)
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "-n",
    "lines",
    metavar="N",
    type=click.IntRange(0, 1_000_000),
    default=20,
    show_default=True,
    help="How many of the last that match.",
)
@click.option("--follow", "-f", is_flag=True, help="Go on as lines come, until Ctrl-C.")
@click.option("--status", metavar="CODE", help="Only this status, or class like 4xx.")
@click.option("--repo", metavar="GLOB", help="Only repos that match.")
@click.option("--cache", metavar="WORD", help="Only answers that came about so: hit, miss, coalesced, …")
@click.option("--client", metavar="NAME", help="Only this client, as the log names it.")
@click.option("--since", metavar="DURATION", help="Only of the last 1h, 30m, 2d.")
@click.option("--json", "as_json", is_flag=True, help="Print the lines as they are (JSON).")
@file_flag
def log(
    file: Path | None,
    lines: int,
    follow: bool,
    since: str | None,
    as_json: bool,
    config_file: Path | None,
    **wanted: str | None,
) -> None:
    path = file or _configured(config_file)
    begin = None if since is None else SystemClock().wall() - _duration(since)
    last: deque[tuple[bytes, dict[str, Any]]] = deque(maxlen=lines)
    try:
        for line in _lines(path, follow=False):
            if (record := _record(line)) is not None and matches(record, wanted, begin):
                last.append((line, record))
        for line, record in last:
            _put(line, record, as_json=as_json)
        if follow:
            with suppress(KeyboardInterrupt):
                for line in _lines(path, follow=True):
                    if (record := _record(line)) is not None and matches(record, wanted, begin):
                        _put(line, record, as_json=as_json)
    except BrokenPipeError:
        raise  # it is the reader of what we print that has gone
    except FileNotFoundError:
        fail(
            Exit.NOT_FOUND,
            f"there is no access log {path}",
            ["it is the setting log.access"],
            then=["penstock config show --origin"],
        )
    except OSError as error:
        fail(Exit.FAILURE, f"{path} cannot be read: {error.strerror}")


def matches(record: dict[str, Any], wanted: dict[str, str | None], begin: float | None) -> bool:
    """Whether a line is one of those that are wanted."""
    status, repo = wanted["status"], wanted["repo"]
    if status is not None and not fnmatchcase(str(record.get("status", "")), status.lower().replace("x", "?")):
        return False
    if repo is not None and not fnmatchcase(str(record.get("repo", "")), repo):
        return False
    if any(wanted[name] not in (None, record.get(name)) for name in ("cache", "client")):
        return False
    return begin is None or datetime.fromisoformat(str(record["ts"])).timestamp() >= begin


def _configured(config_file: Path | None) -> Path:
    access = configuration_or_exit(config_file, {}).log.access
    if access in ("", "-"):
        where = "is not written" if access == "" else "goes to the node's standard output"
        fail(Exit.NOT_FOUND, f"the access log {where}", then=["journalctl -u penstock", "penstock log FILE"])
    return Path(access).expanduser()


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        fail(Exit.USAGE, str(error))


def _lines(path: Path, *, follow: bool) -> Iterator[bytes]:
    """All lines, the rotated file first; or those that come from now on, through rotations."""
    older = path.with_name(f"{path.name}.1")
    if not follow:
        for one in (older, path):
            if one == path or one.exists():
                with one.open("rb") as file:
                    yield from file
        return
    file = path.open("rb")
    file.seek(0, os.SEEK_END)
    rest = b""
    while True:
        rest += file.read(1 << 20)
        *whole, rest = rest.split(b"\n")
        yield from (line + b"\n" for line in whole)
        if not whole:
            time.sleep(LOOK_EVERY)
            if path.exists() and path.stat().st_ino != os.fstat(file.fileno()).st_ino:
                file.close()
                file = path.open("rb")


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None  # half a line: it is being written
    return found if isinstance(found, dict) and "ts" in found else None


def _put(line: bytes, record: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        put(line.decode())
        return
    what = record.get("repo") or record.get("host", "")
    path = record.get("path", "")
    size, took = format_size(record.get("bytes", 0)), f"{record.get('dur_ms', 0):.0f} ms"
    words = (f"{str(record['ts'])[:19]}Z", record.get("client", "-"), record.get("method"), record.get("status"))
    wrong = (f"({record['err']})",) if "err" in record else ()
    put(" ".join(str(word) for word in (*words, record.get("cache", "-"), size, took, what, path, *wrong)))
