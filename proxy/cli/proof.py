"""`penstock verify` and `scrub`: is what is kept still what it was?"""

from __future__ import annotations

from pathlib import Path

import click

from .admin import node_asked, node_flags
from .codes import Exit
from .flags import path_filters
from .jobs import PATH, begin
from .naming import repo_and_revision, size_or_exit
from .talk import fail, say

_SHOWN = 20


@click.command(
    help="""Compare the files of a repo that are here whole with the digests of the Hub.

    \b
    Examples:
      penstock verify acme/tiny
      penstock verify meta-llama/Llama-3.1-8B@main --include '*.safetensors' --rate 200MB

    It reads every byte. A file that is wrong is dropped, and fetched anew for whoever wants it next.
    Exit codes: 0 all that is here is right, 1 some could not be read, 3 nothing is known of the repo, 4 some were
    wrong, or the node does not answer.
    """
)
@click.argument("repo", metavar="REPO[@REVISION]")
@path_filters
@click.option("--rate", metavar="SIZE", help="At most so many bytes a second, like 50MB.")
@click.option("--background", is_flag=True, help="Do not wait for the end.")
@node_flags
def verify(
    repo: str,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    rate: str | None,
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
    }
    asked = node_asked(config_file, admin)
    job = begin(asked, f"{PATH}/verify", order, follow=not background, as_json=as_json)
    if job is None:
        return
    found = job["result"]
    say(f"{found.get('right', 0)} files are right, {found.get('not_whole', 0)} are not here whole")
    if wrong := found.get("wrong"):
        count = job["files"] - found["right"] - found["not_whole"]  # of many the first are named
        fail(
            Exit.UNHEALTHY,
            f"{count} files were wrong and are dropped",
            wrong[:_SHOWN],
            then=[f"penstock warm {repo}      (fetch them anew now)", "penstock scrub      (look at everything else)"],
        )


@click.command(
    help="""Read everything that is kept, and drop what does not match its checksum.

    \b
    Examples:
      penstock scrub
      penstock scrub --rate 100MB --background

    The node does so of its own accord every store.scrub_every. A chunk that has rotted is dropped, and fetched anew
    for whoever wants it next.
    Exit codes: 0 all is right, 1 it could not be read, 4 something was wrong, or the node does not answer, 5 a scrub is
    under way.
    """
)
@click.option("--rate", metavar="SIZE", help="At most so many bytes a second, like 50MB. [default: as fast as it can]")
@click.option("--background", is_flag=True, help="Do not wait for the end.")
@node_flags
def scrub(rate: str | None, background: bool, config_file: Path | None, admin: str | None, as_json: bool) -> None:
    asked, order = node_asked(config_file, admin), {"rate": size_or_exit(rate)}
    job = begin(asked, f"{PATH}/scrub", order, follow=not background, as_json=as_json)
    if job is not None and job["result"].get("wrong"):
        fail(
            Exit.UNHEALTHY,
            f"{job['result']['wrong']} chunks or small blobs had rotted and are dropped",
            ["a disk that rots more than once is about to fail: look at its SMART data"],
            then=["penstock stats"],
        )
