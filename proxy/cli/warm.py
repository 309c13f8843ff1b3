"""`penstock warm`: fetch a repo before anybody asks for it."""

from __future__ import annotations

from pathlib import Path

import click

from .admin import node_asked, node_flags
from .flags import path_filters
from .jobs import PATH, begin
from .naming import repo_and_revision, size_or_exit


@click.command(
    help="""Have the node fetch files of a repo now, with the listings that clients ask for.

    \b
    Examples:
      penstock warm sentence-transformers/all-MiniLM-L6-v2
      penstock warm meta-llama/Llama-3.1-8B@main --include '*.safetensors' --include '*.json' --token-file /etc/hf.token
      penstock warm datasets/acme/rows --rate 50MB --background

    It is a job: it goes on when this command is interrupted and when the node is restarted (penstock jobs). What is on
    disk already is not fetched again. The token is read by the node from a file of its own; it is not kept.
    Exit codes: 0 everything is there, 1 some of it could not be fetched, 2 wrong words, 4 the node does not answer.
    """
)
@click.argument("repo", metavar="REPO[@REVISION]")
@path_filters
@click.option("--rate", metavar="SIZE", help="At most so many bytes a second, like 50MB.")
@click.option("--token-file", metavar="PATH", help="A file on the node with the token to ask the origin with.")
@click.option("--background", is_flag=True, help="Do not wait for the end.")
@node_flags
def warm(
    repo: str,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    rate: str | None,
    token_file: str | None,
    background: bool,
    config_file: Path | None,
    admin: str | None,
    as_json: bool,
) -> None:
    name, revision = repo_and_revision(repo)
    order = {
        "repo": name,
        "revision": revision,
        "include": include,
        "exclude": exclude,
        "rate": size_or_exit(rate),
        "token_file": token_file,
    }
    begin(node_asked(config_file, admin), f"{PATH}/warm", order, follow=not background, as_json=as_json)
