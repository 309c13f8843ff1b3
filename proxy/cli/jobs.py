"""`penstock jobs`: what the node does for its operator, and how far it is."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import click
from rich.table import Table
from rich.text import Text

from proxy.core.sizes import format_size

from .admin import Asked, ask, ask_patiently, node_asked, node_flags
from .bars import JobBar
from .codes import Exit
from .interrupts import deferred, heeded, pause
from .tables import show
from .talk import console, fail, put_json, say

PATH: Final = "/-/api/jobs"
LOOK_EVERY: Final = 0.5
PATIENCE: Final = 30.0
"""Seconds that a node may take to start again while its job is watched."""
_ENDED: Final = frozenset({"done", "failed", "cancelled"})
_STYLES: Final = {"done": "green", "failed": "bold red", "cancelled": "yellow", "running": "cyan"}


@click.group(invoke_without_command=True)
@node_flags
@click.pass_context
def jobs(context: click.Context, config_file: Path | None, admin: str | None, as_json: bool) -> None:
    """List the jobs of a node (warm, verify, scrub, export, import), or follow and cancel one.

    \b
    Examples:
      penstock jobs
      penstock jobs follow warm-4f2a9c01
      penstock jobs cancel warm-4f2a9c01

    A job is kept on disk: it goes on after a restart of the node.
    """
    if context.invoked_subcommand is not None:
        # What is said before the word holds for it too.
        given = {"config_file": config_file, "admin": admin, "as_json": as_json or None}
        said = {name: value for name, value in given.items() if value is not None}
        context.default_map = {context.invoked_subcommand: said}
        return
    found = ask(node_asked(config_file, admin), "GET", PATH)
    if as_json:
        put_json(found)
        return
    if not found["jobs"]:
        say("there are no jobs")
        return
    table = Table("job", "state", "what", "files", "bytes", "since", "note", box=None, pad_edge=False)
    for job in found["jobs"]:
        table.add_row(*_row(job), style=_STYLES.get(job["state"], ""))
    show(table)


@jobs.command(
    help="""Show how far a job is until it ends (Ctrl-C leaves it running).

    \b
    Examples:
      penstock jobs follow warm-4f2a9c01
      penstock jobs follow warm-4f2a9c01 --json | jq .state

    Exit codes: 0 it is done, 1 it failed or was cancelled, or Ctrl-C, 3 no such job, 4 the node does not answer.
    """
)
@click.argument("job_id", metavar="JOB")
@node_flags
def follow(job_id: str, config_file: Path | None, admin: str | None, as_json: bool) -> None:
    end_as(followed(node_asked(config_file, admin), job_id), as_json=as_json)


@jobs.command(
    help="""Cancel a job that waits or runs; what it has done so far stays.

    \b
    Examples:
      penstock jobs cancel warm-4f2a9c01

    Exit codes: 0 it will end, 3 no such job, 4 the node does not answer, 5 it has ended already.
    """
)
@click.argument("job_id", metavar="JOB")
@node_flags
def cancel(job_id: str, config_file: Path | None, admin: str | None, as_json: bool) -> None:
    job = ask(node_asked(config_file, admin), "DELETE", _path_of(job_id), then=["penstock jobs"])
    if as_json:
        put_json(job)
    say(f"{job_id} is being cancelled")


def begin(asked: Asked, path: str, order: dict[str, Any], *, follow: bool, as_json: bool) -> dict[str, Any] | None:
    """Order a job, and unless it is to go on in the background show how far it is: the job when it is done, None when
    it was not waited for. Ends the command when it fails."""
    with deferred():  # until its name is known, which whoever presses Ctrl-C is told
        job: dict[str, Any] = ask(asked, "POST", path, order)
        ended = followed(asked, job["id"]) if follow else None
    if ended is not None:
        end_as(ended, as_json=as_json)
        return ended
    if as_json:
        put_json(job)
    say(f"{job['id']} is under way; watch it with: penstock jobs follow {job['id']}")
    return None


def followed(asked: Asked, job_id: str) -> dict[str, Any]:
    """The job when it has ended; meanwhile a bar on standard error shows how far it is. Ctrl-C ends the command alone,
    and it says so: who stops a download mostly means to stop it."""
    try:
        return _watched(asked, job_id)
    except KeyboardInterrupt:
        then = [
            f"penstock jobs follow {job_id}",
            f"penstock jobs cancel {job_id}      (stop it; what it has done stays)",
        ]
        fail(Exit.FAILURE, f"{job_id} is no longer watched, and goes on", then=then)


def _watched(asked: Asked, job_id: str) -> dict[str, Any]:
    out = console()
    if not out.is_terminal:
        say(f"{job_id} is under way")
    with deferred(), JobBar(out) as bars:
        bar = bars.add_task(job_id, total=None, note="")
        while True:
            with heeded():
                job: dict[str, Any] = ask_patiently(asked, _path_of(job_id), PATIENCE, then=["penstock jobs"])
            bars.update(bar, total=job["bytes_total"], completed=job["bytes"], note=" ".join(job["note"].split())[-60:])
            if job["state"] in _ENDED:
                return job
            pause(LOOK_EVERY)


def _path_of(job_id: str) -> str:
    # What a person has typed is one name, and no path.
    return f"{PATH}/{quote(job_id, safe='')}"


def end_as(job: dict[str, Any], *, as_json: bool) -> None:
    """Tell how the job ended; ends the command unless it is done."""
    if as_json:
        put_json(job)
    match job["state"]:
        case "done":
            files = job["files"] if job["files_total"] is None else f"{job['files']} of {job['files_total']}"
            say(f"{job['id']} is done: {files} files, {format_size(job['bytes'])}", "green")
        case "cancelled":
            fail(Exit.FAILURE, f"{job['id']} was cancelled")
        case _:
            fail(Exit.FAILURE, f"{job['id']} failed", [job["error"] or "for no reason it gives"])


def _row(job: dict[str, Any]) -> tuple[Text, ...]:
    files = str(job["files"]) if job["files_total"] is None else f"{job['files']}/{job['files_total']}"
    total = "" if job["bytes_total"] is None else f" of {format_size(job['bytes_total'])}"
    since = datetime.fromtimestamp(job["ended"] or job["started"] or job["created"]).strftime("%d %b %H:%M:%S")
    note = job["error"] or job["note"]
    texts = (job["id"], job["state"], job["about"], files, f"{format_size(job['bytes'])}{total}", since, note)
    return tuple(Text(text) for text in texts)
