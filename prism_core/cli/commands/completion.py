"""``prism completion``: the script that teaches a shell the Tab key."""

from __future__ import annotations

import rich_click as click
from click.shell_completion import get_completion_class

from prism_core.cli.options import command

EXAMPLES = """
eval "$(prism completion bash)"                                   # in ~/.bashrc
eval "$(prism completion zsh)"                                    # in ~/.zshrc
prism completion fish > ~/.config/fish/completions/prism.fish
"""


@command("completion", examples=EXAMPLES)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the tab completion of prism for SHELL."""
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(ctx.find_root().command, {}, "prism", "_PRISM_COMPLETE").source())
