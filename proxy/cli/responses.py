"""Responses of generic origins: `penstock explain`, and what `penstock purge` does of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from proxy.core.sizes import format_size

from .admin import LONG, Asked, ask, node_asked, node_flags, refusal_of, with_query
from .explain import explain_file
from .naming import token_in
from .tables import show
from .talk import put_json, say

PURGE = "/-/api/purge/responses"
GENERIC = "/-/api/explain"


@click.command(
    help="""Say what a request would be answered with, and why, whatever origin it is of. No origin is asked.

    \b
    Examples:
      penstock explain http://mirror:8080/data/rows.csv?version=3
      penstock explain /data/rows.csv -H 'Accept-Language: de' -H 'Cache-Control: max-age=60'
      penstock explain /data/rows.csv --json | jq .rule
      penstock explain /acme/tiny/resolve/main/model.safetensors
      penstock explain /acme/gated/resolve/main/model.safetensors --token-file ~/.token
      penstock explain /api/models/acme/tiny/tree/main --anonymous
      penstock explain /acme/tiny.git/info/lfs/objects/batch --method POST

    Of a generic origin it names the rule and what is kept; of the Hub the policy, the right (of whoever comes, of the
    anonymous, or of the bearer of a token), the commit, the file, what is here or missing, and what the disks take. A
    token is not kept, and written nowhere; in a file it shows in no list of processes either.
    Exit codes: 0 ok, 2 no such address, 3 fields, and no generic origin, 4 the node does not answer.
    """
)
@click.argument("target", metavar="URL|PATH")
@click.option("--field", "-H", "fields", metavar="NAME: VALUE", multiple=True, help="A request field. Repeatable.")
@click.option(
    "--token-file",
    metavar="PATH",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Explain it for whoever has the token in this file.",
)
@click.option("--anonymous", is_flag=True, help="Explain it for whoever has no token.")
@click.option("--method", type=click.Choice(["GET", "HEAD", "POST"]), default="GET", show_default=True)
@node_flags
def explain(
    target: str,
    fields: tuple[str, ...],
    token_file: Path | None,
    anonymous: bool,
    method: str,
    config_file: Path | None,
    admin: str | None,
    as_json: bool,
) -> None:
    shown = _shown(fields, token_file, anonymous=anonymous)
    others = tuple(line for line in fields if not _is_authorization(line))
    asked = node_asked(config_file, admin)
    if not others and refusal_of(asked, with_query(GENERIC, target=target)) == 404:
        explain_file(asked, target, method, shown, as_json=as_json)
        return
    # To a generic origin the field itself is one of those that decide; its value is not.
    given = (*others, "Authorization: Bearer (shown)") if shown not in (None, "anonymous") else others
    path = with_query(GENERIC, target=target, fields=given)
    found = ask(asked, "GET", path)
    if as_json:
        put_json(found)
        return
    say(f"{found['decision']}: {found['rule']}", "bold")
    say(f"  asked of {found['origin']} as {found['target']}")
    if not found["variants"]:
        say("  nothing is kept for it")
        return
    table = Table("", "status", "age", "fresh for", "left", "size", "varies", "tags", box=None, pad_edge=False)
    for one in found["variants"]:
        table.add_row(*(Text(text) for text in _row(one)))
    show(table)


def _shown(fields: tuple[str, ...], token_file: Path | None, *, anonymous: bool) -> str | None:
    """What the caller shows as Authorization, or `anonymous`; None when nobody in particular is meant."""
    said = [line.partition(":")[2].strip() for line in fields if _is_authorization(line)]
    said += [] if token_file is None else [f"Bearer {token_in(token_file).reveal()}"]
    said += ["anonymous"] if anonymous else []
    if len(said) > 1:
        raise click.UsageError("say once who asks: --token-file, --anonymous or -H 'Authorization: ...'")
    return said[0] if said else None


def _is_authorization(line: str) -> bool:
    return line.partition(":")[0].strip().lower() == "authorization"


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    varies = ", ".join(f"{name}={value}" for name, value in one["varies"].items())
    left = f"{one['left']:.0f} s" + (" (purged)" if one["purged"] else "")
    seconds = (f"{one['age']:.0f} s", f"{one['lifetime']:.0f} s", left)
    chosen = "*" if one["selected"] else ""
    return (chosen, str(one["status"]), *seconds, format_size(one["size"]), varies, " ".join(one["tags"]))


def purge_responses(
    asked: Asked, target: str | None, prefix: str | None, tag: str | None, *, soft: bool, dry_run: bool, as_json: bool
) -> None:
    """Drop responses by one of the three, or make them stale; tells how many that were here."""
    said = {"target": target, "prefix": prefix, "tag": tag}
    order: dict[str, Any] = {name: text for name, text in said.items() if text is not None}
    order |= {"soft": soft, "dry_run": dry_run}
    found = ask(asked, "POST", PURGE, order, within=LONG)
    if as_json:
        put_json(found)
    done = ("would be stale" if soft else "would go") if dry_run else ("are stale now" if soft else "dropped")
    say(f"{found['responses']} responses {done}, and those of the fleet", "green")


def is_address(name: str) -> bool:
    """Whether it names a response, and no repo or blob."""
    return name.startswith(("/", "http://", "https://"))
