"""`penstock upgrade`: what is installed now, in the place of what runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from proxy.core.clock import SystemClock
from proxy.core.sizes import parse_duration

from .admin import LONG, Asked, ask, ask_patiently, node_asked, node_flags
from .codes import Exit
from .talk import fail, put_json, say

RENEWAL: Final = "/-/api/renewal"
_LOOK_EVERY: Final = 0.2
_SILENT_FOR: Final = 30.0
"""Seconds without an answer after which the node is lost: the admin port is away while one program becomes another."""


@click.command(
    help="""Put the version that is installed now, and the configuration as it is now, into the place of what runs.

    \b
    Examples:
      pip install --upgrade penstock && penstock upgrade
      penstock upgrade --dry-run
      penstock upgrade --until-gone --json | jq .after.version
      penstock upgrade --status

    No connection is refused, and downloads under way end in the old workers (server.leave_timeout). What is installed
    is tried out first; when it cannot read the disks, or does not start, the running program stays, and so it does
    while new workers do not serve. It needs several workers, or server.supervised.
    Ctrl-C ends the waiting (exit code 1) and not the upgrade.
    Exit codes: 0 the new program serves, 4 its workers do not serve (the old ones do), or the node does not answer, 5
    it cannot take over, or the node is being renewed already.
    """
)
@click.option("--dry-run", is_flag=True, help="Only try out whether what is installed could take over.")
@click.option("--status", "only_status", is_flag=True, help="Only tell how far it is.")
@click.option("--until-gone", is_flag=True, help="Wait also until the old workers have ended with their downloads.")
@click.option("--within", metavar="TIME", default="5m", show_default=True, help="Wait no longer than this.")
@node_flags
def upgrade(
    dry_run: bool,
    only_status: bool,
    until_gone: bool,
    within: str,
    config_file: Path | None,
    admin: str | None,
    as_json: bool,
) -> None:
    until = SystemClock().monotonic() + _seconds(within)
    asked = node_asked(config_file, admin)
    before = ask(asked, "GET", RENEWAL)
    if only_status:
        _tell_status(before, as_json=as_json)
        return
    if dry_run:
        would = ask(asked, "POST", RENEWAL, {"dry_run": True}, within=LONG, then=["penstock check"])
        say(f"{would['becomes']} could take over from {would['version']} (disk format {would['disk_format']})", "green")
        if as_json:
            put_json(would)
        return
    began = ask(asked, "POST", RENEWAL, {"dry_run": False}, then=["penstock upgrade --status"])
    try:
        after = _waited_for(asked, before, began["program"], until, until_gone=until_gone)
    except KeyboardInterrupt:
        fail(Exit.FAILURE, "no longer waited for: the upgrade goes on", then=["penstock upgrade --status"])
    if as_json:
        put_json({"before": before, "after": after})


def _waited_for(asked: Asked, before: Any, program: int, until: float, *, until_gone: bool) -> dict[str, Any]:
    after = _renewed(asked, program, until)
    say(f"renewed from {before['version']}: {after['version']} serves (disk format {after['disk_format']})", "green")
    if after["old_workers"] and not until_gone:
        say(f"{after['old_workers']} old workers end with their downloads; see: penstock upgrade --status")
    if until_gone:
        after = _alone(asked, until)
        say("the old workers are gone", "green")
    return after


def _renewed(asked: Asked, before: int, until: float) -> dict[str, Any]:
    """How it stands once the next program serves. Ends the command when that comes to nothing, or not in time."""
    said = ""
    while True:
        found = ask_patiently(asked, RENEWAL, _SILENT_FOR)
        if found["program"] == before and found["state"] != "rehearsing":
            why = found["why"] or "its log says why"
            fail(Exit.CONFLICT, "what is installed cannot take over, what runs stays", [why], then=["penstock check"])
        if found["program"] != before and found["state"] == "serving":
            return dict(found)
        if SystemClock().monotonic() > until:
            _too_late(found)
        now = _in_words(found)
        if now != said:
            say(now)
        said = now
        time.sleep(_LOOK_EVERY)


def _alone(asked: Asked, until: float) -> dict[str, Any]:
    while (found := ask_patiently(asked, RENEWAL, _SILENT_FOR))["old_workers"]:
        if SystemClock().monotonic() > until:
            _too_late(found)
        time.sleep(_LOOK_EVERY)
    return dict(found)


def _too_late(found: dict[str, Any]) -> NoReturn:
    back = "penstock upgrade      (again, with the former version installed)"
    then = ["penstock upgrade --status", *([back] if found["state"] == "starting" else [])]
    fail(Exit.UNHEALTHY, f"not there yet: {_in_words(found)}", then=then)


def _tell_status(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        put_json(found)
    else:
        say(_in_words(found))


def _in_words(found: dict[str, Any]) -> str:
    why = f": {found['why']}" if found["why"] else ""
    old = f", {found['old_workers']} old workers serve or end with their downloads" if found["old_workers"] else ""
    match found["state"]:
        case "rehearsing":
            return "what is installed is tried out"
        case "starting":
            return f"{found['version']} has taken over, {found['workers']} of its workers serve{old}{why}"
        case _:
            last = f"; the last upgrade came to nothing{why}" if why else ""
            return f"{found['version']} serves with {found['workers']} workers{old}{last}"


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        fail(Exit.USAGE, f"--within {text}: {error}", ["write it like 30s or 5m"])
