"""``prism undo``: take back the last change of where traffic goes."""

from __future__ import annotations

import rich_click as click

from prism_core.cli.client import admin, model_path
from prism_core.cli.models import complete_models, whole_model
from prism_core.cli.options import Common, command
from prism_core.cli.output import write_json
from prism_core.cli.routing.telling import differences

EXAMPLES = """
prism undo churn
prism undo
prism undo churn --redo
"""


@command("undo", examples=EXAMPLES)
@click.argument("model", required=False, shell_complete=complete_models)
@click.option("--redo", is_flag=True, help="Take back the last undo instead.")
def undo(model: str | None, redo: bool) -> None:
    """Take back the last change of where traffic goes: a route, an alias, a rollback or an upload's.

    Without MODEL it is the last change of all models. Once more takes back the one before.
    """
    path = f"{model_path(whole_model(model))}/route/undo" if model else "/undo"
    with admin() as client:
        done = client.call("POST", path, query={"redo": "true" if redo else ""})
    if Common.of().json:
        write_json(done)
        return
    what = "; ".join(differences(done["before"], done["after"])) or "it was so already"
    click.echo(f"{done['model']}: {what}.")
    click.secho(f"`prism undo {done['model']}{'' if redo else ' --redo'}` takes that back.", dim=True)
