"""`penstock rm`, `purge`, `prune`: room on the disks."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import click

from proxy.core.sizes import format_size

from .admin import LONG, Asked, ask, ask_perhaps, node_asked, node_flags, with_query
from .codes import Exit
from .flags import path_filters
from .inventory import is_key
from .naming import key_or_exit, repo_perhaps_at
from .responses import is_address, purge_responses
from .talk import fail, put_json, say

REMOVE: Final = "/-/api/remove"
_SHOWN: Final = 10


def _removal_flags(command: Any) -> Any:
    for option in reversed(
        (
            path_filters,
            click.option("--dry-run", is_flag=True, help="Only say what would go."),
            click.option("--yes", "-y", is_flag=True, help="Do not ask."),
        )
    ):
        command = option(command)
    return node_flags(command)


@click.command(
    help="""Remove files of a repo from this node's disks.

    \b
    Examples:
      penstock rm acme/tiny --dry-run
      penstock rm datasets/acme/rows@v1.0 --include '*.parquet' --yes

    It says what would go and asks; without a terminal it wants --yes. What other repos or commits have too stays, and
    so does what is pinned. Whoever wants it next has it fetched anew.
    Exit codes: 0 ok, 1 not wanted after all, 3 nothing is known of it, 4 the node does not answer, 5 it is pinned.
    """
)
@click.argument("repo", metavar="REPO[@REVISION]")
@_removal_flags
def rm(repo: str, config_file: Path | None, admin: str | None, as_json: bool, **said: Any) -> None:
    _remove(node_asked(config_file, admin), repo, everywhere=False, as_json=as_json, **said)


@click.command(
    help="""Drop a repo, a blob or responses from all nodes of the fleet; or with --soft have them asked for anew.

    \b
    Examples:
      penstock purge acme/tiny --soft
      penstock purge acme/tiny@main --yes
      penstock purge sha256:4b0c1a...
      penstock purge http://mirror:8080/data/rows.csv
      penstock purge --prefix /data/ --soft --dry-run
      penstock purge --tag release-7

    A KEY is dropped at once, pinned or not: that is for bytes known to be wrong. Of a REPO what is pinned here stays;
    the pins of other nodes are theirs, and do not hold against it. --dry-run counts what is on this node.
    Addresses, prefixes and tags (Surrogate-Key, Cache-Tag) are of a generic origin's responses; softly purged ones are
    stale from then on, and serve where a stale response may.

    --soft drops no byte: branches, tags and listings of the repo count as old, so the next question asks the origin,
    and what is kept still serves while that is away. Nodes that are cut off now do it when they are back; they hear of
    it by Redis (without one, ask each node).
    Exit codes: 0 ok, 1 not wanted after all, 2 wrong words, 3 nothing is known of it, 4 the node does not answer, 5 it
    is pinned.
    """
)
@click.argument("name", metavar="REPO[@REVISION]|KEY|URL", required=False)
@click.option("--prefix", metavar="URL", help="All responses whose addresses begin so.")
@click.option("--tag", metavar="TAG", help="All responses that the origin gave this tag.")
@click.option("--soft", is_flag=True, help="Ask anew for what may change, and keep the bytes.")
@_removal_flags
def purge(
    name: str | None,
    prefix: str | None,
    tag: str | None,
    soft: bool,
    config_file: Path | None,
    admin: str | None,
    as_json: bool,
    **said: Any,
) -> None:
    if sum(one is not None for one in (name, prefix, tag)) != 1:
        raise click.UsageError("say what to purge: one of REPO, KEY, URL, --prefix and --tag")
    of_responses = name is None or is_address(name)
    of_blob = name is not None and not of_responses and _is_blob(name)
    _refuse_misplaced(name, of_one_thing=of_responses or of_blob, of_responses=of_responses, soft=soft, **said)
    asked = node_asked(config_file, admin)
    if name is None or of_responses:
        purge_responses(asked, name, prefix, tag, soft=soft, dry_run=said["dry_run"], as_json=as_json)
    elif of_blob:
        key = key_or_exit(name)
        if said["dry_run"]:
            here = ask_perhaps(asked, with_query("/-/api/blob", key=str(key))) or {"here": 0}
            if as_json:
                put_json({"key": str(key), "dry_run": True, "here": here["here"]})
            say(f"{key} would be dropped everywhere, pinned or not: {format_size(here['here'])} here")
            return
        found = ask(asked, "POST", f"/-/api/purge?key={quote(str(key), safe='')}")
        if as_json:
            put_json(found)
        say(f"{key} is being dropped everywhere", "green")
    elif soft:
        order = {"repo": name, "dry_run": said["dry_run"]}
        found = ask(asked, "POST", "/-/api/stale", order, then=["penstock ls"], within=LONG)
        if as_json:
            put_json(found)
        would = "would be" if said["dry_run"] else "is"
        what = f"{found['refs']} branches and tags, {found['listings']} listings here"
        say(f"what may change of {found['repo']} {would} asked for anew: {what}", "green")
        _tell_others(found["others"], "count it as old too")
    else:
        _remove(asked, name, everywhere=True, as_json=as_json, **said)


def _is_blob(name: str) -> bool:
    return name.startswith(("sha256:", "etag:")) or is_key(name) or bool(re.fullmatch(r"[0-9a-f]{64}", name))


def _refuse_misplaced(
    name: str | None,
    *,
    of_one_thing: bool,
    of_responses: bool,
    soft: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    **_: Any,
) -> None:
    """Words that would narrow what is purged, where nothing heeds them: it would be more than was meant."""
    if (include or exclude) and (soft or of_one_thing):
        raise click.UsageError("--include and --exclude go with a REPO that is dropped; nothing was purged")
    if soft and not of_one_thing and "@" in (name or ""):
        raise click.UsageError("--soft is about a whole repo: leave @REVISION out; nothing was purged")
    if soft and of_one_thing and not of_responses:
        raise click.UsageError("--soft goes with a repo or with responses, not with a KEY; nothing was purged")


@click.command(
    help="""Evict what is used least, until the disks are no fuller than that.

    \b
    Examples:
      penstock prune --to 80%
      penstock prune --to 0.5 --dry-run

    What is pinned, or read just now, stays. Exit codes: 0 ok, 2 no such share, 4 the node does not answer.
    """
)
@click.option("--to", "share", metavar="SHARE", required=True, help="A share of each disk's size, like 80% or 0.8.")
@click.option("--dry-run", is_flag=True, help="Only say how much would go.")
@node_flags
def prune(share: str, dry_run: bool, config_file: Path | None, admin: str | None, as_json: bool) -> None:
    asked, order = node_asked(config_file, admin), {"to": _share(share), "dry_run": dry_run}
    found = ask(asked, "POST", "/-/api/prune", order, within=LONG)
    last = found
    while not dry_run and last["left"] and any(disk["blobs"] for disk in last["disks"]):
        say(f"{format_size(last['left'])} to go")
        last = ask(asked, "POST", "/-/api/prune", order, within=LONG)
        found = together(found, last)
    if as_json:
        put_json(found)
    blobs = sum(disk["blobs"] for disk in found["disks"])
    for disk in found["disks"]:
        gone = disk["before"] - (disk["target"] if dry_run else disk["after"])
        would = "would go" if dry_run else "gone"
        say(f"{disk['disk']}: {format_size(max(0, gone))} {would}, {format_size(disk['after'])} stored")
    if not dry_run:
        say(f"{blobs} blobs evicted" + (f"; {format_size(found['left'])} are in use" if found["left"] else ""), "green")


def together(first: dict[str, Any], then: dict[str, Any]) -> dict[str, Any]:
    """What two calls, one after the other, came to. A disk that went out between them is as it was last seen."""
    later = {disk["disk"]: disk for disk in then["disks"]}
    disks = [
        {**disk, "after": now["after"], "blobs": disk["blobs"] + now["blobs"]}
        for disk in first["disks"]
        if (now := later.get(disk["disk"], {**disk, "blobs": 0}))
    ]
    return {"disks": disks, "left": then["left"]}


def _remove(
    asked: Asked,
    name: str,
    *,
    everywhere: bool,
    as_json: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    dry_run: bool,
    yes: bool,
) -> None:
    repo, revision = repo_perhaps_at(name)
    order = {
        "repo": repo,
        "revision": revision,
        "include": include,
        "exclude": exclude,
        "everywhere": everywhere,
    }
    would = ask(asked, "POST", REMOVE, {**order, "dry_run": True}, then=["penstock ls"], within=LONG)
    if dry_run or not yes:
        _tell(would)
    if dry_run:
        if as_json:
            put_json(would)
        return
    if not yes and not _agreed(as_json=as_json):
        # The very words again: without --include more would go than was shown.
        chosen = [word for glob in include for word in ("--include", glob)]
        chosen += [word for glob in exclude for word in ("--exclude", glob)]
        again = shlex.join(["penstock", "purge" if everywhere else "rm", name, *chosen, "--yes"])
        fail(Exit.FAILURE, "nothing was removed", ["nobody has agreed to it"], then=[again])
    done = ask(asked, "POST", REMOVE, {**order, "dry_run": False}, within=LONG)
    if as_json:
        put_json(done)
    say(f"removed: {done['blobs']} blobs, {format_size(done['bytes'])}", "green")


def _tell(would: dict[str, Any]) -> None:
    for path in would["paths"][:_SHOWN]:
        say(f"  {path}")
    if len(would["paths"]) > _SHOWN:
        say(f"  and {len(would['paths']) - _SHOWN} more")
    kept = f" ({format_size(would['shared'])} stay: others have them too)" if would["shared"] else ""
    say(f"{would['blobs']} blobs, {format_size(would['bytes'])}, of {would['repo']} would go{kept}")
    _tell_others(
        would["others"], "drop what they have of it too, pinned there or not; how much that is, they know alone"
    )


def _tell_others(others: list[str], do: str) -> None:
    """What the rest of the fleet does of it: this node counts for itself alone."""
    if others:
        say(f"the other nodes ({', '.join(others[:_SHOWN])}) {do}")


def _agreed(*, as_json: bool) -> bool:
    """A program is not asked: it has not been shown what would go."""
    if as_json or not sys.stdin.isatty():
        say("nobody is there to be asked: say --yes", "yellow")
        return False
    return click.confirm("Remove them?", err=True)


def _share(text: str) -> float:
    number = text.removesuffix("%")
    try:
        share = float(number) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        fail(Exit.USAGE, f"{text!r} is no share of a disk", ["write it like 80% or 0.8"])
    return share
