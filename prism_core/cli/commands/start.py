"""``prism start``: bring a stopped model up again."""

from __future__ import annotations

import rich_click as click

from prism_core.cli.models import complete_models, moved, version_option
from prism_core.cli.options import command

EXAMPLES = """
prism start churn
prism start churn/2
"""


@command("start", examples=EXAMPLES)
@click.argument("model", required=False, shell_complete=complete_models)
@version_option
@click.option("--all", "all_models", is_flag=True, help="Start every model.")
def start(model: str | None, version: int | None, all_models: bool) -> None:
    """Start a model that was stopped or has failed.

    Returns when it answers.
    """
    moved("start", "started", model, version, all_models)
