"""`penstock pin`, `unpin`, `pins`: what must never be evicted."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
from rich.table import Table
from rich.text import Text

from proxy.core.sizes import format_size

from .admin import LONG, ask, node_asked, node_flags, with_query
from .flags import path_filters
from .naming import repo_and_revision, repo_perhaps_at
from .tables import show
from .talk import hint, put_json, say

PATH: Final = "/-/api/pins"


@click.command(
    help="""Keep files of a repo from eviction, at the commit that its revision means now.

    \b
    Examples:
      penstock pin meta-llama/Llama-3.1-8B
      penstock pin datasets/acme/rows@v1.0 --include '*.parquet'
      penstock warm acme/tiny && penstock pin acme/tiny

    It fetches nothing (penstock warm does), and holds for files that come later too; through restarts.
    Exit codes: 0 ok, 2 wrong words, 3 nothing is known of it, 4 the node does not answer.
    """
)
@click.argument("repo", metavar="REPO[@REVISION]")
@path_filters
@node_flags
def pin(
    repo: str,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    config_file: Path | None,
    admin: str | None,
    as_json: bool,
) -> None:
    name, revision = repo_and_revision(repo)
    order = {"repo": name, "revision": revision, "include": include, "exclude": exclude}
    then = [f"penstock warm {repo}"]
    found = ask(node_asked(config_file, admin), "PUT", PATH, order, then=then, within=LONG)
    if as_json:
        put_json(found)
    count = found["files"] + found["unknown"]
    say(f"pinned: {name} at {found['pin']['commit'][:12]}, {count} files, {format_size(found['bytes'])}", "green")
    if found["unknown"]:
        hint(f"{found['unknown']} of them were never here; fetch them with: penstock warm {repo}")


@click.command(
    help="""Let the pins of a repo go: its files are evicted like any others.

    \b
    Examples:
      penstock unpin meta-llama/Llama-3.1-8B
      penstock unpin datasets/acme/rows@v1.0

    Exit codes: 0 ok, 2 wrong words, 3 nothing of it is pinned, 4 the node does not answer.
    """
)
@click.argument("repo", metavar="REPO[@REVISION]")
@node_flags
def unpin(repo: str, config_file: Path | None, admin: str | None, as_json: bool) -> None:
    name, revision = repo_perhaps_at(repo)
    path = with_query(PATH, repo=name, revision=revision)
    found = ask(node_asked(config_file, admin), "DELETE", path, then=["penstock pins"], within=LONG)
    if as_json:
        put_json(found)
    for one in found["pins"]:
        say(f"no longer pinned: {one['repo']} at {one['commit'][:12]} ({one['revision']})")


@click.command(
    help="""List what is pinned.

    \b
    Examples:
      penstock pins
      penstock pins --json | jq '.pins[].repo'

    Exit codes: 0 ok, 4 the node does not answer.
    """
)
@node_flags
def pins(config_file: Path | None, admin: str | None, as_json: bool) -> None:
    found = ask(node_asked(config_file, admin), "GET", PATH)
    if as_json:
        put_json(found)
        return
    if not found["pins"]:
        say("nothing is pinned")
        return
    table = Table("repo", "revision", "commit", "files", "since", box=None, pad_edge=False)
    for one in found["pins"]:
        texts = (one["repo"], one["revision"], one["commit"][:12], _chosen(one), one["since"][:10])
        table.add_row(*(Text(text) for text in texts))
    show(table)


def _chosen(one: dict[str, Any]) -> str:
    said = [*one["include"], *(f"not {pattern}" for pattern in one["exclude"])]
    return ", ".join(said) or "all"
