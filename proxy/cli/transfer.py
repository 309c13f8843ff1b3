"""`penstock export` and `import`: into and out of the mirror by file."""

from __future__ import annotations

from pathlib import Path

import click

from .admin import node_asked, node_flags
from .codes import Exit
from .flags import path_filters
from .jobs import PATH, begin
from .talk import fail, hint, say

_SHOWN = 10


@click.command(
    help="""Write repos to a bundle for a place without a network: one signed tar with files, listings and branches.

    \b
    Examples:
      penstock export /mnt/usb/models.tar acme/tiny meta-llama/Llama-3.1-8B@main
      penstock export /mnt/usb/rows.tar datasets/acme/rows --include '*.parquet'

    The files have to be here whole (penstock warm); the node itself writes the bundle, where it may write. It prints
    the node's public key: the other side imports with --trust and that key.
    Exit codes: 0 written, 1 it could not be written, 2 wrong words, 3 nothing is known of a repo, 4 the node does not
    answer, 5 another job is to write there.
    """
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("repos", metavar="REPO[@REVISION]...", nargs=-1, required=True)
@path_filters
@click.option("--background", is_flag=True, help="Do not wait for the end.")
@node_flags
def export(
    bundle: Path,
    repos: tuple[str, ...],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    background: bool,
    config_file: Path | None,
    admin: str | None,
    as_json: bool,
) -> None:
    order = {"path": str(bundle.absolute()), "repos": repos, "include": include, "exclude": exclude}
    asked = node_asked(config_file, admin)
    job = begin(asked, f"{PATH}/export", order, follow=not background, as_json=as_json)
    if job is not None:
        key = job["result"]["key"]
        say(f"written: {job['result']['path']}, signed by {key}")
        say(f"on the other side: penstock import {bundle.name} --trust {key}")


@click.command(
    "import",
    help="""Take in a bundle, or what another program's cache holds.

    \b
    Examples:
      penstock import /mnt/usb/models.tar --trust 3q2-7wAAAA...=
      penstock import --hf-cache ~/.cache/huggingface/hub
      penstock import --olah /data/olah/repos

    A bundle changed in any byte, or signed by a key that is not trusted, is refused before any of it is kept. What it
    brings is served though the origin is away; for how long, is freshness.stale_for. A cache brings bytes: the origin
    is asked once for the rest. The node itself reads the files, so it must be able to.
    Exit codes: 0 all of it is here, 1 it was refused or could not be read, 2 wrong words, 4 the node does not answer.
    """,
)
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option("--trust", metavar="KEY", multiple=True, help="A public key whose bundles are taken. Repeatable.")
@click.option("--hf-cache", metavar="DIR", type=click.Path(path_type=Path), help="A cache of huggingface_hub.")
@click.option("--olah", metavar="DIR", type=click.Path(path_type=Path), help="The repos-path of Olah 0.5.")
@click.option("--background", is_flag=True, help="Do not wait for the end.")
@node_flags
def import_(
    bundle: Path | None,
    trust: tuple[str, ...],
    hf_cache: Path | None,
    olah: Path | None,
    background: bool,
    config_file: Path | None,
    admin: str | None,
    as_json: bool,
) -> None:
    given = [one for one in (("bundle", bundle), ("hf-cache", hf_cache), ("olah", olah)) if one[1] is not None]
    if len(given) != 1:
        fail(Exit.USAGE, "name one thing to import: a bundle, --hf-cache or --olah", then=["penstock import --help"])
    kind, path = given[0]
    assert path is not None, "it was given"
    asked, place = node_asked(config_file, admin), str(path.expanduser().absolute())
    if kind == "bundle":
        begin(asked, f"{PATH}/import", {"path": place, "trust": trust}, follow=not background, as_json=as_json)
        return
    job = begin(asked, f"{PATH}/seed", {"path": place, "kind": kind}, follow=not background, as_json=as_json)
    if job is not None and (left_out := job["result"]["left_out"]):
        hint(f"{job['files_total'] - job['files']} files were left out:")
        for name, why in list(left_out.items())[:_SHOWN]:
            say(f"  {name}: {why}")
