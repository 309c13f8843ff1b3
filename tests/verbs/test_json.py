"""--json everywhere: every verb there is answers a program in JSON, when it works and when it does not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import click
import pytest
import pytest_asyncio
from click.testing import CliRunner

from bench.hub.content import MIB
from proxy.cli.codes import Exit
from proxy.cli.main import main
from proxy.cli.spoken import after_the_verb
from tests.kit.command import Done, penstock

from .verbs import Operator, operated

on_one_loop = pytest.mark.asyncio(loop_scope="module")

WITHOUT = {
    "serve": "it runs until it is told to stop; its logs are JSON with --log-form json, --ready-file says where it is",
    "completion": "it prints a script for a shell",
    "bench": "it hands over to a program of its own, which has a --json of its own",
}
"""Verbs that have no --json, and why."""

KEY = "sha256:" + "0" * 64

WELL: dict[str, tuple[str, ...]] = {
    "check": (),
    "doctor": (),
    "config show": ("--origin",),
    "config init": (),
    "config reload": ("--dry-run",),
    "version": (),
    "explain": ("/acme/tiny/resolve/main/config.json",),
    "log": ("LOG", "-n", "1"),
    "stats": (),
    "top": ("--times", "1", "--every", "0.1"),
    "ls": (),
    "du": (),
    "info": ("acme/tiny",),
    "warm": ("acme/tiny",),
    "jobs": (),
    "jobs follow": ("JOB",),
    "jobs cancel": ("SLOW",),
    "pin": ("acme/tiny",),
    "pins": (),
    "unpin": ("acme/tiny",),
    "rm": ("acme/tiny", "--dry-run"),
    "purge": ("acme/tiny", "--dry-run"),
    "prune": ("--to", "90%", "--dry-run"),
    "verify": ("acme/tiny",),
    "scrub": (),
    "export": ("BUNDLE", "acme/tiny"),
    "import": ("BUNDLE",),
    "upgrade": ("--status",),
    "drain": (),
}
"""Words with which a verb works, in this order; in capitals what is only known when it runs."""

IN_A_FLEET = {"cluster status", "cluster placement", "cluster drain"}
"""Verbs that work in a fleet only: tests/cluster and tests/scenarios show it."""

WITHOUT_NODE: dict[str, tuple[tuple[str, ...], Exit]] = {
    "check": (("--workers", "x"), Exit.FAILURE),
    "doctor": (("--endpoint", "http://127.0.0.1:1"), Exit.UNHEALTHY),
    "config show": (("--config", "/nowhere.toml"), Exit.USAGE),
    "config init": (("/proc/nowhere/penstock.toml",), Exit.FAILURE),
    "version": (("--nonsense",), Exit.USAGE),
    "log": (("/nowhere.log",), Exit.NOT_FOUND),
}
"""Verbs that ask no node, and what goes wrong with them; all others are told that no node answers."""

ARGUMENTS = {
    "cluster placement": (KEY,),
    "jobs follow": ("warm-1",),
    "jobs cancel": ("warm-1",),
    "export": ("/tmp/bundle.tar", "acme/tiny"),
    "import": ("/tmp/bundle.tar",),
}
"""Words that a verb needs before it asks anybody; those of `WELL`, where they are not here."""


def leaves(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every verb that can be run, by its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, f"{before}{name} ")
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield f"{before}{name}", command


VERBS = dict(leaves(main))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Operator]:
    async with operated(tmp_path_factory.mktemp("json")) as found:
        repo = found.stage.repo("acme/tiny")
        repo.put_text("config.json", "{}")
        repo.put_blob("model.safetensors", 2 * MIB)
        repo.commit("Add files")
        found.stage.blob("acme/slow", "model.safetensors", 64 * MIB)
        assert (await found.says("warm", "acme/tiny")).returncode == 0
        await found.stage.ask(found.node, "/acme/tiny/resolve/main/config.json")
        yield found


def test_every_verb_has_the_flag_or_a_reason() -> None:
    with_flag = {name for name, command in VERBS.items() if any("--json" in one.opts for one in command.params)}
    assert VERBS.keys() - with_flag == WITHOUT.keys()
    assert with_flag == WELL.keys() | IN_A_FLEET, "a new verb is tried here"


@on_one_loop
async def test_a_refusal_of_the_node_and_a_job_that_fails_are_json(operator: Operator) -> None:
    refused = error_of(await operator.says("info", "acme/none", "--json"), Exit.NOT_FOUND)
    assert "acme/none" in refused["error"]
    failed = await operator.says("warm", "acme/none", "--json")
    assert json.loads(failed.stdout)["state"] == "failed"
    assert json.loads(failed.stderr)["exit_code"] == failed.returncode == 1


@on_one_loop
async def test_the_flag_may_stand_before_the_verb(operator: Operator) -> None:
    repos = await operator.json("ls")
    for words in (("--json", "ls"), ("--json", "ls", "--json")):
        done = await operator.says(*words)
        assert (done.returncode, json.loads(done.stdout)) == (0, repos), done.said
    job = await known(operator, "JOB")
    for words in (("--json", "jobs", "follow", job), ("jobs", "--json", "follow", job)):
        done = await operator.says(*words)
        assert json.loads(done.stdout)["id"] == job, done.said


@on_one_loop
@pytest.mark.parametrize("verb", WELL)
async def test_what_it_says_is_json_and_there_is_no_talk(operator: Operator, verb: str) -> None:
    words = [*verb.split(), *[await known(operator, word) for word in WELL[verb]], "--json"]
    asked = ("log", "version", "config show", "config init", "check")
    if verb == "doctor":
        words += ["--config", str(operator.node.plan.config_file)]
    done = await (penstock(*words) if verb in asked else operator.says(*words))
    assert (done.returncode, done.stderr) == (0, ""), done.said
    assert json.loads(done.stdout) is not None


async def known(operator: Operator, word: str) -> str:
    match word:
        case "LOG":
            return str(operator.node.access_log)
        case "BUNDLE":
            return str(operator.node.plan.folder / "bundle.tar")
        case "JOB":
            jobs = (await operator.json("jobs"))["jobs"]
            return str(next(job["id"] for job in jobs if job["state"] == "done"))
        case "SLOW":
            job = await operator.json("warm", "acme/slow", "--rate", "1MiB", "--background")
            return str(job["id"])
        case _:
            return word


# `jobs follow` waits half a minute for a node that starts again.
@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in (*WITHOUT, "jobs follow")])
def test_an_error_is_one_json_object(verb: str) -> None:
    words, code = WITHOUT_NODE.get(verb, ((), Exit.UNHEALTHY))
    if verb not in WITHOUT_NODE:
        words = (*ARGUMENTS.get(verb, WELL.get(verb, ())), "--admin", "127.0.0.1:1")
    found = error_of(here(*verb.split(), *words, "--json"), code)
    if verb not in WITHOUT_NODE:
        assert found["error"] == "no node answers at 127.0.0.1:1: Connection refused"
        assert found["next"] == ["curl -sS http://127.0.0.1:1/-/readyz"]


def test_that_no_node_answers_is_no_dry_run_that_found_nothing() -> None:
    error_of(here("purge", KEY, "--dry-run", "--admin", "127.0.0.1:1", "--json"), Exit.UNHEALTHY)


def here(*words: str) -> Done:
    """`penstock WORDS` in this process: there are many."""
    done = CliRunner().invoke(main, words)
    return Done(done.exit_code, done.stdout, done.stderr)


def error_of(done: Done, code: Exit) -> dict[str, Any]:
    assert (done.returncode, done.stdout) == (code, ""), done.said
    found: dict[str, Any] = json.loads(done.stderr)
    assert found.keys() == {"error", "why", "next", "exit_code", "kind"}
    assert (found["exit_code"], found["kind"]) == (code, code.name.lower().replace("_", "-"))
    assert found["error"]
    return found


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "bench"])
def test_a_wrong_flag_is_one_json_object_too(verb: str) -> None:
    found = error_of(here(*verb.split(), "--no-such-flag", "--json"), Exit.USAGE)
    assert "--no-such-flag" in found["error"]
    assert found["next"] == [f"main {verb} --help"]


def test_a_flag_that_no_verb_has_is_one_json_object_too() -> None:
    assert "--nonsense" in error_of(here("--nonsense", "ls", "--json"), Exit.USAGE)["error"]
    assert "--json" in error_of(here("--json", "serve"), Exit.USAGE)["error"]


def test_after_two_dashes_it_is_no_flag() -> None:
    assert after_the_verb(["--json", "ls", "--", "a"]) == ["ls", "--json", "--", "a"]
    assert after_the_verb(["ls", "--", "--json"]) == ["ls", "--", "--json"]


def test_a_verb_that_is_none_is_one_json_object_too() -> None:
    assert "wram" in error_of(here("wram", "acme/tiny", "--json"), Exit.USAGE)["error"]
