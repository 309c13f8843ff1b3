"""`penstock bench …`, or `python -m bench …`: run a load test, report it, compare runs."""

from __future__ import annotations

import importlib

import click

VERBS = {
    "run": "bench.verbs.run",
    "scenarios": "bench.verbs.scenarios",
    "trace": "bench.verbs.trace",
    "report": "bench.report.verb",
    "cmp": "bench.compare.verb",
    "scale": "bench.scale.verb",
}
"""Verb -> the module that holds a command of that name. Only the one that is called is imported."""

# What the extra `bench` brings and the mirror itself does not need.
_EXTRA = ("hdrh", "jinja2", "numpy")


class _Verbs(click.Group):
    def list_commands(self, context: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        try:
            command = getattr(importlib.import_module(VERBS[name]), name)
        except ModuleNotFoundError as missing:
            if (missing.name or "").partition(".")[0] not in _EXTRA:
                raise
            raise click.ClickException(
                f"the load-test harness needs {missing.name}, which is not installed\n"
                "try:   pip install 'penstock[bench]' (or, in the source: make bench)"
            ) from missing
        assert isinstance(command, click.Command)
        return command


@click.group(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="""Know what a mirror holds: put a load on it, check every byte, and tell what was found.

    \b
    Examples:
      penstock bench scenarios                                    what there is to run
      penstock bench run smoke                                    a few seconds of everything
      penstock bench run herd --clients 128                       one new repo, wanted by all at once
      penstock bench report out/run.json                          one HTML file, opens anywhere
      penstock bench scale run --nodes 23                         a fleet, simulated
      penstock bench cmp before after --fail-if "ttfb_p99>+10%"   what changed, and is that too much?

    Exit codes: 0 ok, 1 the run failed or a condition holds, 2 usage, 3 not found.
    """,
)
def main() -> None:
    pass


if __name__ == "__main__":
    main(prog_name="python -m bench")
