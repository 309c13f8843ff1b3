"""`penstock doctor`: is this machine fit for the node, and does anything lead clients past the mirror?"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click

from proxy.config.spelling import http_url
from proxy.core.clock import SystemClock
from proxy.core.errors import OriginUnreachable
from proxy.core.sizes import format_size
from proxy.service.checkup import examined
from proxy.service.doctor import ADVICE, Checkup, NothingThere, examine
from proxy.service.finding import Finding, Verdict

from .admin import Asked, known_of, node_asked, node_flags, refusal_of
from .codes import Exit
from .configured import configuration_or_exit
from .naming import token_in
from .talk import fail, put_json, say

_STATS: Final = "/-/api/stats"


@click.command(
    help="""Look at this machine for what hinders a node, or at a running mirror for what leads clients past it.

    \b
    Examples:
      penstock doctor
      penstock doctor --config /etc/penstock.toml --json | jq '.findings[] | select(.verdict != "good")'
      penstock doctor --endpoint http://mirror:8080
      penstock doctor --endpoint http://mirror:8080 --repo datasets/acme/rows --token-file ~/.token
      penstock doctor --endpoint http://mirror:8080 --json | jq .leaks

    Without --endpoint it looks at the configuration, disks, limits, kernel, ports, certificates, clock, at every origin
    and at Redis from this machine, and says what mends what is wrong.

    With --endpoint it walks a repo as the clients do: it asks for listings, heads and single bytes, and looks in every
    answer for an absolute address of another host, a redirect there, and a hint of Xet that leads there. Point it at a
    proxy of another make, or at the Hub itself, to see what clients are told there.
    Exit codes: 0 nothing is bad, nothing leaks; 3 no such repo (for this token); 4 something is bad, leaks, fails or
    does not answer.
    """
)
@click.option("--endpoint", metavar="URL", help="The mirror, as clients write it into HF_ENDPOINT.")
@click.option(
    "--repo", metavar="ID", help="acme/tiny, datasets/acme/rows, … [default: the first model it lists for everybody]"
)
@click.option(
    "--token-file",
    metavar="PATH",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with the token to ask with; without it the walk is anonymous.",
)
@node_flags
def doctor(
    endpoint: str | None,
    repo: str | None,
    token_file: Path | None,
    config_file: Path | None,
    admin: str | None,
    as_json: bool,
) -> None:
    if endpoint is None:
        _look_here(config_file, admin, as_json=as_json)
        return
    try:
        http_url(endpoint)
    except ValueError as error:
        fail(Exit.USAGE, f"{endpoint!r} is no address: {error}", ["write it like http://mirror:8080"])
    token = None if token_file is None else token_in(token_file)
    try:
        found = asyncio.run(examine(endpoint, repo, token))
    except OriginUnreachable as error:
        fail(Exit.UNHEALTHY, str(error), then=["curl -sS " + endpoint.rstrip("/") + "/-/readyz"])
    except NothingThere as error:
        fail(Exit.NOT_FOUND, f"there is nothing to walk: {error}")
    if as_json:
        put_json(_as_json(found))
    else:
        _tell(found)
    if not found.is_well:
        raise click.exceptions.Exit(int(Exit.UNHEALTHY))


def _look_here(config_file: Path | None, admin: str | None, *, as_json: bool) -> None:
    config = configuration_or_exit(config_file, {})
    asked = node_asked(config_file, admin)
    stats = known_of(asked, _STATS)
    refused = refusal_of(asked, _STATS) if stats is None else None

    async def examine_all() -> list[Finding]:
        serving = stats is not None or refused is not None
        return [finding async for finding in examined(config, SystemClock(), serving=serving)]

    found = asyncio.run(examine_all())
    if refused is not None:
        found.append(_refusal(asked, refused))
    if stats is not None:
        found += _node(asked, stats)
    if config.cluster.redis is not None and (node := known_of(asked, "/-/api/cluster")) is not None:
        found.append(_redis(node))
    if as_json:
        put_json({"findings": [asdict(one) for one in found]})
    else:
        styles = {Verdict.GOOD: "green", Verdict.POOR: "yellow", Verdict.BAD: "bold red"}
        for one in found:
            say(f"{one.verdict.value:5} {one.about}: {one.says}", styles[one.verdict])
            if one.fix:
                say(f"      mend it: {one.fix}")
    if any(one.verdict is Verdict.BAD for one in found):
        raise click.exceptions.Exit(int(Exit.UNHEALTHY))


def _refusal(asked: Asked, status: int) -> Finding:
    about = f"node at {asked.address}"
    if status == 401:
        fix = "PENSTOCK_ADMIN__TOKEN_FILE=/path/to/the/token penstock doctor      (what its admin.token_file names)"
        return Finding(about, Verdict.POOR, "it wants another admin token, and tells nothing of itself", fix)
    return Finding(about, Verdict.POOR, f"it says nothing of itself ({status})", f"curl -sS {asked.address}/-/readyz")


def _node(asked: Asked, stats: dict[str, Any]) -> list[Finding]:
    """What the running node says of itself: how its disks are, and what the origin lets it ask."""
    found = []
    for disk in stats["disks"]:
        about = f"disk {disk['path']} of the node"
        if disk["state"] == "ok":
            found.append(Finding(about, Verdict.GOOD, f"in use, {format_size(disk['stored'])} stored"))
        else:
            verdict = Verdict.POOR if disk["state"] == "read_only" else Verdict.BAD
            fix = f"curl -sS {asked.address}/-/status      (its reason); dmesg | tail"
            found.append(Finding(about, verdict, f"it is {disk['state']}", fix))
    if stats["origin_allows"] == 0:
        says = "the origin allows it no more requests now: what is not kept is refused with 429"
        fix = "penstock top      (who asks so much?), and origin.token_file: a token has more"
        found.append(Finding("budget of the node", Verdict.BAD, says, fix))
    elif stats["origin_allows"] is not None:
        says = f"the origin allows it {stats['origin_allows']} more requests now"
        found.append(Finding("budget of the node", Verdict.GOOD, says))
    return found


def _redis(node: dict[str, Any]) -> Finding:
    """What the running node says of Redis: it has a breaker that may be open."""
    if node.get("redis") == "away":
        fix = "as for redis; it looks again every few seconds"
        return Finding("redis of the node", Verdict.BAD, "it gets no answer, and works on alone", fix)
    return Finding("redis of the node", Verdict.GOOD, f"it says: {node.get('redis')}")


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
