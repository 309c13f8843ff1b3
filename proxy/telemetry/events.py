"""The event log: the standard library's logging, written by a thread, one line an event, without secrets."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, Literal

import orjson

from .lines import LineWriter
from .redaction import printable, redacted

Form = Literal["text", "json"]

_OWN_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_QUIET: Final = ("asyncio", "aiohttp.access")


class EventHandler(logging.Handler):
    """Renders an event where it happens and leaves the writing to the thread."""

    def __init__(self, writer: LineWriter[bytes], form: Form, worker: int | None) -> None:
        super().__init__()
        self._writer = writer
        self._form = form
        self._worker = worker

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._writer.offer(line_of(record, self._form, self._worker))
        except Exception:  # noqa: BLE001 - process boundary: a log call must not break the caller
            self.handleError(record)


@contextmanager
def event_log(level: str, form: Form, *, fd: int = 2, worker: int | None = None) -> Iterator[None]:
    """Send every logger's events of at least `level` to descriptor `fd`; what waits is written on leaving."""
    writer: LineWriter[bytes] = LineWriter(lambda line: line, fd=fd, capacity=10_000)
    writer.open()
    handler = EventHandler(writer, form, worker)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    set_level(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
        writer.close()


def set_level(level: str) -> None:
    """Take over another `log.level` (SIGHUP)."""
    logging.getLogger().setLevel(level.upper())


def line_of(record: logging.LogRecord, form: Form, worker: int | None) -> bytes:
    """The line of one event: time, severity, logger, the constant text, its fields, the traceback if there is one."""
    text = _as_json(record, worker) if form == "json" else _as_text(record, worker)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _as_text(record: logging.LogRecord, worker: int | None) -> str:
    when = datetime.fromtimestamp(record.created).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    who = "" if worker is None else f" [{worker}]"
    fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
    head = f"{when} {record.levelname.lower():7}{who} {_safe(record.getMessage() + fields)}"
    trace = _traceback(record)
    return head if trace is None else head + "".join(f"\n    {_safe(line)}" for line in trace.splitlines())


def _as_json(record: logging.LogRecord, worker: int | None) -> str:
    line: dict[str, Any] = {
        "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": _safe(record.getMessage()),
    }
    if worker is not None:
        line["worker"] = worker
    line |= {name: _safe(str(value)) for name, value in _fields(record).items() if name not in line}
    if (trace := _traceback(record)) is not None:
        line["traceback"] = "\n".join(printable(part) for part in redacted(trace).splitlines())
    return orjson.dumps(line).decode()


def _safe(text: str) -> str:
    # Redacted first and escaped after: an escape must not be taken for part of a secret, nor be cut by its end.
    return printable(redacted(text))


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _OWN_FIELDS}


def _traceback(record: logging.LogRecord) -> str | None:
    if record.exc_info is None or record.exc_info[0] is None:
        return None
    return logging.Formatter().formatException(record.exc_info)
