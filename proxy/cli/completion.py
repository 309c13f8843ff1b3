"""`penstock completion`: words completed by the shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from .talk import put


@click.command(
    help="""Print the script that lets a shell complete commands and flags.

    \b
    Examples:
      penstock completion bash > /etc/bash_completion.d/penstock
      penstock completion zsh > "${fpath[1]}/_penstock"
      penstock completion fish > ~/.config/fish/completions/penstock.fish
    """
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    found = get_completion_class(shell)
    assert found is not None, "click knows these shells"
    put(found(context.find_root().command, {}, "penstock", "_PENSTOCK_COMPLETE").source())
