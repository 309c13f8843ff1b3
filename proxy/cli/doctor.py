"""`penstock doctor`: does anything lead clients past the mirror?"""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import orjson

from proxy.core.errors import OriginUnreachable
from proxy.core.secret import Secret
from proxy.service.doctor import ADVICE, Checkup, NothingThere, examine

from .codes import Exit
from .talk import fail, put, say


@click.command(
    help="""Walk a repo through a running mirror as the clients do, and report what leads them away from it.

    \b
    Examples:
      penstock doctor --endpoint http://mirror:8080
      penstock doctor --endpoint http://mirror:8080 --repo datasets/acme/rows --token-file ~/.token
      penstock doctor --endpoint http://mirror:8080 --json | jq .leaks

    It asks for listings, heads and single bytes, and looks in every answer for an absolute address of another host, a
    redirect there, and a hint of Xet that leads there. Point it at a proxy of another make, or at the Hub itself, to
    see what clients are told there.
    Exit codes: 0 nothing leaks, 3 no such repo (for this token), 4 something leaks, fails or does not answer.
    """
)
@click.option("--endpoint", metavar="URL", required=True, help="The mirror, as clients write it into HF_ENDPOINT.")
@click.option(
    "--repo", metavar="ID", help="acme/tiny, datasets/acme/rows, … [default: the first model it lists for everybody]"
)
@click.option(
    "--token-file",
    metavar="PATH",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with the token to ask with; without it the walk is anonymous.",
)
@click.option("--json", "as_json", is_flag=True, help="Write what was found as JSON to standard output.")
def doctor(endpoint: str, repo: str | None, token_file: Path | None, as_json: bool) -> None:
    if not endpoint.startswith(("http://", "https://")):
        fail(Exit.USAGE, f"{endpoint!r} is no address", ["write it like http://mirror:8080"])
    token = None if token_file is None else Secret(token_file.read_text(encoding="utf-8").strip())
    try:
        found = asyncio.run(examine(endpoint, repo, token))
    except OriginUnreachable as error:
        fail(Exit.UNHEALTHY, str(error), then=["curl -sS " + endpoint.rstrip("/") + "/-/readyz"])
    except NothingThere as error:
        fail(Exit.NOT_FOUND, f"there is nothing to walk: {error}")
    if as_json:
        put(orjson.dumps(_as_json(found), option=orjson.OPT_INDENT_2).decode())
    else:
        _tell(found)
    if not found.is_well:
        raise click.exceptions.Exit(int(Exit.UNHEALTHY))


def _tell(found: Checkup) -> None:
    for step, leak in found.leaks:
        to = f" -> {leak.to}" if leak.to else ""
        say(f"leak: {step.name}: {step.method} {step.path} ({step.status}): {leak.where}{to}", "bold red")
    for kind in sorted({leak.kind for _, leak in found.leaks}, key=lambda kind: kind.value):
        say(f"  {kind.value}: {ADVICE[kind]}.")
    for trouble in found.troubles:
        say(f"trouble: {trouble}", "yellow")
    asked = f"{len(found.steps)} answers of {found.endpoint} about {found.repo}"
    if found.is_well:
        say(f"nothing leaks: {asked}", "green")
    else:
        say(f"{len(found.leaks)} leaks and {len(found.troubles)} troubles in {asked}", "bold")


def _as_json(found: Checkup) -> dict[str, object]:
    return {
        "endpoint": found.endpoint,
        "repo": found.repo,
        "well": found.is_well,
        "asked": len(found.steps),
        "leaks": [
            {
                "step": step.name,
                "method": step.method,
                "path": step.path,
                "status": step.status,
                "kind": leak.kind.value,
                "where": leak.where,
                "to": leak.to,
            }
            for step, leak in found.leaks
        ],
        "troubles": found.troubles,
    }
