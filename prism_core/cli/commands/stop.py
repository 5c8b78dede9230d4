"""``prism stop``: end a model's replicas, keep its versions."""

from __future__ import annotations

import rich_click as click

from prism_core.cli.models import complete_models, moved, version_option
from prism_core.cli.options import command

EXAMPLES = """
prism stop churn          # every version of it
prism stop churn/2
prism stop --all
"""


@command("stop", examples=EXAMPLES)
@click.argument("model", required=False, shell_complete=complete_models)
@version_option
@click.option("--all", "all_models", is_flag=True, help="Stop every model.")
def stop(model: str | None, version: int | None, all_models: bool) -> None:
    """Stop a model; nothing is removed.

    What is in flight is answered, then its replicas end.
    """
    moved("stop", "stopped", model, version, all_models)
