"""`bench run`: put a mirror under load, once, and judge it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from bench import running, scenario, verdict
from bench.conditions import NoCondition, parsed
from bench.faults import KINDS
from bench.find_max import Found, Limit, Probe
from bench.load.trace import NoTrace, from_log
from bench.record import Loop, Run
from bench.report import page
from bench.report.assets import MissingAsset
from bench.summary import summary
from bench.wanted import Wanted

from .talk import FAILURE, USAGE, console, fail

_WIDTH = 110
"""Columns of what goes to a file."""
_COLOURS = {verdict.Weight.GOOD: "green", verdict.Weight.DOUBT: "yellow", verdict.Weight.FAULT: "bold red"}


@click.command(
    help="""Start a synthetic Hub, a mirror and clients on this machine, let the SCENARIO happen, and say how it went.

    SCENARIO is one of `penstock bench scenarios`, or a TOML file of your own.

    \b
    Examples:
      penstock bench run smoke
      penstock bench run steady --rate 50 --duration 2m --seed 7 --out out/steady
      penstock bench run ranges --set verify.check=none --set proxy.settings.fetch.parallel=8
      penstock bench run ranges --find-max --slo 'ttfb_p99<100ms,errors<=0%' --duration 15s
      penstock bench run chaos --without disk-full
      penstock bench run replay --replay access.log --speed 10
      penstock bench run herd --target http://127.0.0.1:8080 --hub-listen 127.0.0.1:9000

    With --target the mirror is yours: let its origin be the synthetic Hub at --hub-listen, and give --admin so that its
    own counts can be compared with the others'.
    Exit codes: 0 a good run, 1 a bad one, 2 usage.
    """
)
@click.argument("name", metavar="SCENARIO")
@click.option("--duration", metavar="DURATION", help="How long the load comes, such as 30s.")
@click.option("--rate", type=float, metavar="N", help="Sessions a second (open loop).")
@click.option(
    "--clients",
    type=int,
    metavar="N",
    help="Closed loop: so many clients, each of which begins anew when it is done. With a herd: how many come.",
)
@click.option("--seed", type=int, metavar="N", help="Of everything that is drawn.")
@click.option("--nodes", type=int, metavar="N", help="Mirrors; more than one are a fleet, with a Redis.")
@click.option("--workers", type=int, metavar="N", help="Worker processes of each mirror.")
@click.option("--generators", type=int, metavar="N", help="Processes that make the load.")
@click.option("--verify", type=click.Choice(["full", "stamps", "none"]), help="How closely bodies are looked at.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Any key of the scenario. Repeatable.")
@click.option(
    "--without",
    metavar="FAULT",
    multiple=True,
    type=click.Choice(sorted(KINDS)),
    help="Leave out the faults of this name, such as disk-full (which needs root). Repeatable.",
)
@click.option(
    "--replay",
    metavar="LOG",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An access log of Penstock: its requests at their times, with contents made up.",
)
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), default=1.0, help="Of the replay [1].")
@click.option("--target", metavar="URL", help="Drive this mirror instead of starting one; on this machine only.")
@click.option("--admin", metavar="URL", help="With --target: where its /metrics are.")
@click.option("--hub-listen", metavar="HOST:PORT", default="127.0.0.1:0", help="Where the synthetic Hub listens.")
@click.option(
    "--i-own-this-target", "is_owned", is_flag=True, help="The target is another machine, and mine to put under load."
)
@click.option("--find-max", is_flag=True, help="Search the highest rate at which --slo holds.")
@click.option("--slo", metavar="CONDITIONS", help="With --find-max: such as 'ttfb_p99<100ms,errors<=0.1%'.")
@click.option(
    "--out", metavar="DIR", type=click.Path(path_type=Path), help="Where run.json goes [out/bench/NAME-TIME]."
)
@click.option("--json", "as_json", is_flag=True, help="Print the record to standard output.")
def run(name: str, **given: Any) -> None:
    try:
        wanted = wanted_of(name, given)
    except (NoTrace, OSError) as error:
        fail(USAGE, str(error))
    except scenario.ScenarioError as error:
        fail(USAGE, error.what, error.mistakes, then=["penstock bench scenarios", "penstock bench run --help"])
    out: Path = given["out"] or Path("out/bench") / f"{wanted.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    if given["find_max"]:
        _find_max(wanted, given, out)
        return
    try:
        found = running.run(wanted, out, console())
    except running.BROKEN as error:
        fail(FAILURE, f"the run broke off: {error}")
    except OSError as error:
        fail(FAILURE, f"the run broke off: {error}", then=["penstock bench run --out DIR"])
    if given["as_json"]:
        click.echo((out / "run.json").read_bytes(), nl=False)
    _leave(found, out, as_json=given["as_json"])


def wanted_of(name: str, given: dict[str, Any]) -> Wanted:
    """The run that the command line asks for. Raises ScenarioError, NoTrace, OSError."""
    target = trace = None
    if given["target"] is not None:
        target = running.allowed(given["target"], given["admin"], is_owned=given["is_owned"])
    changes = changes_of(given)
    if given["replay"] is not None:
        trace = from_log(given["replay"], speed=given["speed"])
        changes.setdefault("duration", max(1.0, trace.seconds))
    chosen = running.chosen(name, changes).without(given["without"])
    if given["clients"] is not None and chosen.load.shape != "herd" and "load.loop" not in changes:
        chosen = running.chosen(name, {**changes, "load.loop": Loop.CLOSED}).without(given["without"])
    wanted = Wanted(Path(name).stem, chosen, target, given["hub_listen"], trace)
    running.check(wanted)
    return wanted


def changes_of(given: dict[str, Any]) -> dict[str, Any]:
    """The keys of the scenario that the flags change; --set is stronger than the others. Raises ScenarioError."""
    keys = {
        "duration": "duration",
        "seed": "seed",
        "rate": "load.rate",
        "clients": "load.clients",
        "generators": "load.generators",
        "nodes": "proxy.nodes",
        "workers": "proxy.workers",
        "verify": "verify.check",
    }
    changes = {key: given[flag] for flag, key in keys.items() if given[flag] is not None}
    return {**changes, **dict(scenario.change(text) for text in given["changes"])}


def _find_max(wanted: Wanted, given: dict[str, Any], out: Path) -> None:
    if not given["slo"]:
        fail(USAGE, "--find-max needs conditions", then=["penstock bench run … --find-max --slo 'ttfb_p99<100ms'"])
    said = console()

    def tell(probe: Probe) -> None:
        words = Text("held", "green") if probe.held else Text(f"did not: {probe.why}", "red")
        said.print(Text(f"{probe.rate:10.1f} sessions/s  ") + words)

    scenario_of = wanted.scenario
    said.print(Text(f"each rate for {scenario_of.duration:g} s, beginning with {scenario_of.load.rate:g} sessions/s"))
    try:
        conditions = [parsed(text) for text in given["slo"].split(",")]
        found = running.found_max(wanted, conditions, out, tell)
    except NoCondition as error:
        fail(USAGE, str(error))
    except scenario.ScenarioError as error:
        fail(USAGE, error.what, error.mistakes)
    except (*running.BROKEN, OSError) as error:
        fail(FAILURE, f"the search broke off: {error}")
    _tell_max(found, as_json=given["as_json"])
    if found.run is not None:
        said.print(Text(f"the best run that held: {out / 'run.json'}"))
        _report(found.run, out)
    if found.rate is None:
        raise click.exceptions.Exit(FAILURE)


def _tell_max(found: Found, *, as_json: bool) -> None:
    if as_json:
        probes = [{"rate": probe.rate, "held": probe.held, "why": probe.why} for probe in found.probes]
        click.echo(json.dumps({"rate": found.rate, "limit": found.limit, "probes": probes}))
        return
    rate = "none" if found.rate is None else f"{found.rate:.1f} sessions/s"
    click.echo(f"highest rate: {rate}, limited by: {found.limit}")
    if found.limit is Limit.GENERATOR:
        failed = min((probe for probe in found.probes if not probe.held), key=lambda probe: probe.rate)
        click.echo(f"the mirror may hold more: at {failed.rate:.1f} sessions/s {failed.generator}")


def _leave(found: Run, out: Path, *, as_json: bool) -> None:
    """Say how it went, and leave with the verdict as exit code."""
    said = console()
    if not as_json:
        numbers = Console(highlight=False)
        numbers.print(summary(found), width=None if numbers.is_terminal else _WIDTH)
    findings = verdict.findings(found)
    worst = verdict.weight(findings)
    said.print(Text(verdict.headline(worst), style=_COLOURS[worst]))
    for finding in findings:
        said.print(Text(f"  {finding.weight.name.lower():6}", style=_COLOURS[finding.weight]) + Text(finding.text))
    said.print(Text(f"\nrecord: {out / 'run.json'}"))
    _report(found, out)
    if worst is verdict.Weight.FAULT:
        raise click.exceptions.Exit(FAILURE)


def _report(found: Run, out: Path) -> None:
    """Beside the record; without what it is made of, say how to get that."""
    said = console()
    try:
        page.write(page.rendered(found), out / "report.html")
        said.print(Text(f"report: {out / 'report.html'}"))
    except MissingAsset as error:
        said.print(Text(f"no report: {error}\ntry:    {error.remedy}"))
