"""`penstock log`: the access log, read, filtered, followed."""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import nullcontext, suppress
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, BinaryIO, Final

import click
import orjson

from proxy.core.clock import SystemClock
from proxy.core.sizes import format_size, parse_duration

from .codes import Exit
from .configured import configuration_or_exit
from .flags import file_flag
from .talk import fail, put

LOOK_EVERY: Final = 0.3
_STATUS: Final = re.compile(r"[1-5][0-9xX]{2}")


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
    if (status := wanted["status"]) is not None and not _STATUS.fullmatch(status):
        fail(Exit.USAGE, f"{status!r} is no status", ["write it like 404 or 4xx"])
    last: deque[tuple[bytes, dict[str, Any]]] = deque(maxlen=lines)
    is_past = True
    try:
        with suppress(KeyboardInterrupt) if follow else nullcontext():
            for line in lines_of(path, follow=follow):
                if line is None:
                    _put_all(last, as_json=as_json)
                    is_past = False
                elif (record := _record(line)) is not None and matches(record, wanted, begin):
                    last.append((line, record))
                    if not is_past:
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
    return begin is None or _when(record) >= begin


def _when(record: dict[str, Any]) -> float:
    try:
        return datetime.fromisoformat(str(record["ts"])).timestamp()
    except ValueError:
        return 0.0  # no line of ours


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


def lines_of(path: Path, *, follow: bool) -> Iterator[bytes | None]:
    """All lines that there are, the rotated file first, and then None; to be followed, also those that come after it,
    through rotations."""
    file = path.open("rb")  # first: what is rotated from now on is followed, and not met again as the older one
    with suppress(FileNotFoundError), path.with_name(f"{path.name}.1").open("rb") as older:
        yield from older
    rest = yield from _whole_lines(file, b"")
    if rest and not follow:
        yield rest
    yield None
    while follow:
        # Looked at before the rest is read: a file that another has taken the place of gets no more lines.
        is_over = path.exists() and path.stat().st_ino != os.fstat(file.fileno()).st_ino
        rest = yield from _whole_lines(file, rest)
        if is_over:
            file.close()
            file, rest = path.open("rb"), b""
        else:
            time.sleep(LOOK_EVERY)
            if os.fstat(file.fileno()).st_size < file.tell():
                file.seek(0)  # emptied in place, as copytruncate does
                rest = b""
    file.close()


def _whole_lines(file: BinaryIO, rest: bytes) -> Generator[bytes, None, bytes]:
    """The lines from where `file` is to its end, after `rest`; gives what is left of one that is not whole yet."""
    while piece := file.read(1 << 20):
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line + b"\n" for line in whole)
    return rest


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None  # half a line: it is being written
    return found if isinstance(found, dict) and "ts" in found else None


def _put_all(last: deque[tuple[bytes, dict[str, Any]]], *, as_json: bool) -> None:
    for line, record in last:
        _put(line, record, as_json=as_json)


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
