"""`penstock ls`, `du`, `info`: what the node has."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
from rich.table import Table
from rich.text import Text

from proxy.core.blob import BlobKey
from proxy.core.clock import SystemClock
from proxy.core.sizes import format_size

from .admin import LONG, Asked, ask, node_asked, node_flags, with_query
from .flags import path_filters
from .naming import key_or_exit, repo_and_revision
from .tables import show
from .talk import put_json, say

_PAGE: Final = 200


@click.command(
    help="""List the repos that the node knows files of, and how much of them it has.

    \b
    Examples:
      penstock ls
      penstock ls 'meta-llama/*'
      penstock ls --json | jq '.[] | select(.here > 1e9) | .repo'

    Exit codes: 0 ok (also when there is none), 4 the node does not answer.
    """
)
@click.argument("match", metavar="[GLOB]", required=False)
@node_flags
def ls(match: str | None, config_file: Path | None, admin: str | None, as_json: bool) -> None:
    found = list(_repos(node_asked(config_file, admin), match))
    if as_json:
        put_json(found)
        return
    if not found:
        say("the node knows no repo" + (f" that matches {match}" if match else " yet"))
        return
    _show_repos(found)


@click.command(
    help="""Show what takes the room: the disks, and the repos with the most bytes on them.

    \b
    Examples:
      penstock du
      penstock du --most 50
      penstock du --json | jq '.disks[].stored'

    Bytes that several repos share count for each of them, so the column may add up to more than is stored.
    Exit codes: 0 ok, 4 the node does not answer.
    """
)
@click.option(
    "--most", metavar="N", type=click.IntRange(1, 100_000), default=20, show_default=True, help="Repos shown."
)
@node_flags
def du(most: int, config_file: Path | None, admin: str | None, as_json: bool) -> None:
    asked = node_asked(config_file, admin)
    disks = ask(asked, "GET", "/-/api/stats")["disks"]
    repos = sorted(_repos(asked, None), key=lambda repo: (-repo["here"], repo["repo"]))[:most]
    if as_json:
        put_json({"disks": disks, "repos": repos})
        return
    table = Table("disk", "stored", "of", "full", "pinned", "free", "blobs", "state", box=None, pad_edge=False)
    for disk in disks:
        sizes = (format_size(disk[name]) for name in ("stored", "size"))
        full = f"{disk['stored'] / disk['size']:.0%}" if disk["size"] else ""
        rest = (format_size(disk["pinned"]), format_size(disk["free"]), str(disk["objects"]), disk["state"])
        table.add_row(*(Text(text) for text in (disk["path"], *sizes, full, *rest)))
    show(table)
    if repos:
        say()
        _show_repos(repos)


@click.command(
    help="""Show a repo at a revision with its files, or where a blob lies.

    \b
    Examples:
      penstock info sentence-transformers/all-MiniLM-L6-v2
      penstock info datasets/acme/rows@v1.0 --include '*.parquet'
      penstock info sha256:4b0c1a...

    It shows what the node knows, and asks the origin for nothing.
    Exit codes: 0 ok, 2 no such name can be, 3 nothing is known of it, 4 the node does not answer.
    """
)
@click.argument("name", metavar="REPO[@REVISION]|KEY")
@path_filters
@node_flags
def info(
    name: str,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    config_file: Path | None,
    admin: str | None,
    as_json: bool,
) -> None:
    asked = node_asked(config_file, admin)
    if name.startswith(("sha256:", "etag:")):
        key_or_exit(name)
        found = ask(asked, "GET", with_query("/-/api/blob", key=name))
        if as_json:
            put_json(found)
        else:
            _tell_blob(found)
        return
    repo, revision = repo_and_revision(name)
    found = _whole_info(asked, repo=repo, revision=revision, include=include, exclude=exclude)
    if as_json:
        put_json(found)
    else:
        _tell_repo(found)


def _repos(asked: Asked, match: str | None) -> Iterator[dict[str, Any]]:
    after: str | None = ""
    while after is not None:
        page = ask(asked, "GET", with_query("/-/api/repos", match=match, after=after, limit=_PAGE), within=LONG)
        yield from page["repos"]
        after = page["next"]


def _whole_info(asked: Asked, **fields: Any) -> dict[str, Any]:
    """All pages as one."""
    found: dict[str, Any] = ask(asked, "GET", with_query("/-/api/repo", **fields), within=LONG)
    while found["next"] is not None:
        more = ask(asked, "GET", with_query("/-/api/repo", **fields, after=found["next"]), within=LONG)
        found = {**found, "files": [*found["files"], *more["files"]], "next": more["next"]}
    return found


def _show_repos(repos: list[dict[str, Any]]) -> None:
    table = Table("repo", "files", "size", "here", "share", "last used", "", box=None, pad_edge=False)
    now = SystemClock().wall()
    for repo in repos:
        share = f"{min(1.0, repo['here'] / repo['bytes']):.0%}" if repo["bytes"] else ""
        texts = (repo["repo"], str(repo["files"]), format_size(repo["bytes"]), format_size(repo["here"]), share)
        table.add_row(*(Text(text) for text in (*texts, _ago(repo["used"], now), "pinned" if repo["pinned"] else "")))
    show(table)


def _tell_repo(found: dict[str, Any]) -> None:
    say(f"{found['repo']} at {found['commit']} ({found['revision']})", "bold")
    known = "for everybody" if "files" in found["public"] else "not known to be for everybody"
    names = ", ".join(f"{ref['revision']} is {ref['commit'][:12]}" for ref in found["refs"])
    say(f"{known}{'; ' + names if names else ''}; {len(found['commits'])} commits known")
    say()
    table = Table("file", "size", "here", "share", "etag", box=None, pad_edge=False)
    for file in found["files"]:
        share = f"{file['here'] / file['size']:.0%}" if file["size"] else ""
        style = "" if file["here"] >= file["size"] else "dim"
        texts = (file["path"], format_size(file["size"]), format_size(file["here"]), share, file["etag"][:12])
        table.add_row(*(Text(text) for text in texts), style=style)
    show(table)
    sizes, here = sum(file["size"] for file in found["files"]), sum(file["here"] for file in found["files"])
    say(f"{len(found['files'])} files, {format_size(here)} of {format_size(sizes)} here")


def _tell_blob(found: dict[str, Any]) -> None:
    table = Table("disk", "here", box=None, pad_edge=False)
    for name, size in found["disks"].items():
        table.add_row(Text(name), format_size(size))
    show(table)
    say(f"{found['key']}: {format_size(found['here'])} here")


def _ago(stamp: str, now: float) -> str:
    """How long ago, as coarse as it is known: to the hour."""
    hours = int((now - datetime.fromisoformat(stamp).astimezone(UTC).timestamp()) // 3600)
    if hours < 1:
        return "this hour"
    return f"{hours} h ago" if hours < 48 else f"{hours // 24} days ago"


def is_key(text: str) -> bool:
    try:
        BlobKey.parse(text)
    except ValueError:
        return False
    return True
