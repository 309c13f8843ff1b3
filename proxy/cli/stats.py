"""`penstock stats` and `top`: the node in figures, once or live."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from proxy.core.clock import SystemClock
from proxy.core.sizes import format_size

from .admin import ask, node_asked, node_flags
from .interrupts import deferred, heeded, pause
from .jobs import PATH as JOBS
from .tables import show
from .talk import put_json

PATH = "/-/api/stats"


@click.command(
    help="""Show what the node has done since its start, and what it does now.

    \b
    Examples:
      penstock stats
      penstock stats --json | jq .byte_hit_ratio

    Exit codes: 0 ok, 4 the node does not answer.
    """
)
@node_flags
def stats(config_file: Path | None, admin: str | None, as_json: bool) -> None:
    found = ask(node_asked(config_file, admin), "GET", PATH)
    if as_json:
        put_json(found)
    else:
        show(_sums(found))


@click.command(
    help="""Watch the node: rates, disks and jobs, drawn anew every moment until Ctrl-C.

    \b
    Examples:
      penstock top
      penstock top --every 0.5
      penstock top --times 1 --json        one look, with the rates of a moment

    Exit codes: 0 ok, 4 the node does not answer.
    """
)
@click.option(
    "--every", metavar="SECONDS", type=click.FloatRange(0.1, 60), default=1.0, show_default=True, help="Between looks."
)
@click.option("--times", metavar="N", type=click.IntRange(1), help="How many looks. [default: until Ctrl-C]")
@node_flags
def top(every: float, times: int | None, config_file: Path | None, admin: str | None, as_json: bool) -> None:
    asked, clock = node_asked(config_file, admin), SystemClock()
    console, looks = Console(highlight=False), 0
    with suppress(KeyboardInterrupt):
        before, at = ask(asked, "GET", PATH), clock.monotonic()
        # Into a pipe or as JSON one look follows another; on a terminal each takes the place of the last.
        with deferred(), Live(console=console, auto_refresh=False, screen=console.is_terminal and not as_json) as live:
            while times is None or looks < times:
                pause(every)
                with heeded():
                    found, now = ask(asked, "GET", PATH), clock.monotonic()
                    jobs = [] if as_json else ask(asked, "GET", JOBS)["jobs"]
                rates = rates_of(before, found, now - at)
                before, at, looks = found, now, looks + 1
                if as_json:
                    put_json({"rates": rates, "now": found})
                else:
                    live.update(_picture(rates, found, jobs), refresh=True)


def _picture(rates: dict[str, float], found: dict[str, Any], jobs: list[dict[str, Any]]) -> Group:
    running = [job for job in jobs if job["state"] == "running"]
    return Group(_rates(rates, found), Text(), _disks(found), Text(), _jobs(running))


def rates_of(before: dict[str, Any], now: dict[str, Any], seconds: float) -> dict[str, float]:
    """What moved between two looks, a second. A node that was started anew between them has not moved backwards."""
    names = ("requests", "errors", "delivered", "origin", "peers", "origin_requests", "evicted")
    return {name: max(0.0, (now[name] - before[name]) / max(seconds, 1e-6)) for name in names}


def _sums(found: dict[str, Any]) -> Table:
    table = Table("since the start", "", "", show_header=False, box=None, pad_edge=False)
    outcomes = ", ".join(f"{name} {count:,}" for name, count in sorted(found["by_outcome"].items()) if count)
    sources = ", ".join(f"{name} {format_size(count)}" for name, count in sorted(found["by_source"].items()) if count)
    rows = [
        ("requests", f"{found['requests']:,}", outcomes),
        ("errors (5xx)", f"{found['errors']:,}", ""),
        ("hits", _percent(found["request_hit_ratio"]), "of requests for what can be cached"),
        ("delivered", format_size(found["delivered"]), sources),
        ("byte hits", _percent(found["byte_hit_ratio"]), "of delivered bytes came from disk or memory"),
        ("from the origin", format_size(found["origin"]), f"{found['origin_requests']:,} requests{_allows(found)}"),
        ("from peers", format_size(found["peers"]), ""),
        ("evicted", format_size(found["evicted"]), ""),
        ("corruptions", f"{found['corruptions']:,}", "found, dropped and fetched anew"),
        ("now", f"{found['connections']:,} connections", _now(found)),
    ]
    for disk in found["disks"]:
        rows.append(
            (f"disk {disk['name']}", f"{_full(disk)} full", f"{_sizes(disk)}, {disk['path']} is {disk['state']}")
        )
    for name, value, more in rows:
        table.add_row(Text(name, style="bold"), Text(value, justify="right"), Text(more, style="dim"))
    return table


def _rates(rates: dict[str, float], found: dict[str, Any]) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    rows = (
        ("requests", f"{rates['requests']:,.0f}/s", f"{rates['errors']:,.1f}/s of them 5xx"),
        ("to clients", f"{format_size(rates['delivered'])}/s", f"{_percent(found['byte_hit_ratio'])} byte hits so far"),
        (
            "from the origin",
            f"{format_size(rates['origin'])}/s",
            f"{rates['origin_requests']:,.1f} requests/s{_allows(found)}",
        ),
        ("from peers", f"{format_size(rates['peers'])}/s", ""),
        ("evicting", f"{format_size(rates['evicted'])}/s", ""),
        ("now", f"{found['connections']:,} connections", _now(found)),
    )
    for name, value, more in rows:
        table.add_row(Text(name, style="bold"), Text(value, justify="right"), Text(more, style="dim"))
    return table


def _disks(found: dict[str, Any]) -> Table:
    table = Table("disk", "full", "", "state", box=None, pad_edge=False)
    for disk in found["disks"]:
        table.add_row(Text(disk["path"]), Text(_full(disk)), Text(_sizes(disk)), Text(disk["state"]))
    return table


def _jobs(jobs: list[dict[str, Any]]) -> Table:
    table = Table("job", "what", "so far", "", box=None, pad_edge=False)
    for job in jobs:
        total = "" if job["bytes_total"] is None else f" of {format_size(job['bytes_total'])}"
        table.add_row(
            Text(job["id"]), Text(job["about"]), f"{format_size(job['bytes'])}{total}", Text(job["note"][-60:])
        )
    return table


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _full(disk: dict[str, Any]) -> str:
    return f"{disk['stored'] / disk['size']:.0%}" if disk["size"] else "-"


def _sizes(disk: dict[str, Any]) -> str:
    return f"{format_size(disk['stored'])} of {format_size(disk['size'])} in {disk['objects']:,} blobs"


def _allows(found: dict[str, Any]) -> str:
    return "" if found["origin_allows"] is None else f"; it allows {found['origin_allows']:,} more now"


def _now(found: dict[str, Any]) -> str:
    return f"{found['in_flight']:,} requests, {found['fills']:,} downloads, {found['waiters']:,} readers follow one"
