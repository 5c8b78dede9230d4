"""``prism upload``: from a file to a link."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click

from prism_core.cli.announce import announce, result
from prism_core.cli.artifacts import located
from prism_core.cli.client import admin
from prism_core.cli.media import media_type_of
from prism_core.cli.models import complete_files
from prism_core.cli.options import Common, command
from prism_core.cli.output import warn, write_json
from prism_core.cli.progress import progress_of
from prism_core.cli.sending import send
from prism_core.sizes import parse_bytes

Function = TypeVar("Function", bound=Callable[..., Any])


class Size(click.ParamType[int]):
    """A size such as 512MB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return bytes."""
        try:
            return value if isinstance(value, int) else parse_bytes(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _option(ctx: click.Context, _: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    from prism_core.settings_file import yaml_value

    options = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise click.BadParameter(f"{text!r} is not of the form KEY=VALUE.")
        options[key.strip()] = yaml_value(value, f"--option {key}")
    return options


def _wish(_ctx: click.Context, _: click.Parameter, value: bool | None) -> str:
    """Return what the request says: "" leaves it to the server."""
    return "" if value is None else "auto" if value else "off"


_OPTIONS = (
    click.option("--name", default="", help="The model's name; else the file's: churn_model.pkl is churn."),
    click.option("--loader", default="", help="The loader; else the one that knows the content."),
    click.option("--alias", default="", help="Point this alias at the new version too."),
    click.option(
        "--description",
        default="",
        metavar="TEXT",
        help="What its page says of it, in Markdown; else the README.md of DIR.",
    ),
    click.option(
        "--example",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="A request body (.json .csv .npy .png ...) that must work before it is published.",
    ),
    click.option(
        "--option",
        "options",
        multiple=True,
        metavar="KEY=VALUE",
        callback=_option,
        help="An option of the loader; may be repeated.",
    ),
    click.option(
        "--optimize/--no-optimize",
        default=None,
        callback=_wish,
        help="Serve a faster form of the model if one is found that answers alike (scikit-learn).",
    ),
    click.option("--replicas", metavar="N", type=click.IntRange(1), help="How many processes serve it."),
    click.option(
        "--min-replicas",
        metavar="N",
        type=click.IntRange(0),
        help="At least so many while it is loaded; 0: unload it when nobody uses it.",
    ),
    click.option(
        "--max-replicas", metavar="N", type=click.IntRange(1), help="At most so many, as its load asks for."
    ),
    click.option(
        "--idle-unload",
        "idle_unload_s",
        metavar="SECONDS",
        type=click.FloatRange(0),
        help="Unload it after so long without a call; 0: never.",
    ),
    click.option("--pin", is_flag=True, help="Never unload it."),
    click.option(
        "--no-preload", is_flag=True, help="When the server starts, leave it to its first call to load it."
    ),
    click.option("--threads", metavar="N", type=click.IntRange(1), help="How many threads each may use."),
    click.option(
        "--trust",
        multiple=True,
        metavar="MODULE:NAME",
        help="Admit this name in a pickle or skops file; may be repeated.",
    ),
    click.option(
        "--requirements",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="What it needs: requirements.txt, pyproject.toml, environment.yml; else what it says itself.",
    ),
    click.option(
        "--python", default="", metavar="3.X", help="The Python that it runs on; else the server's."
    ),
    click.option(
        "--environment",
        type=click.Choice(["auto", "server"]),
        help="auto: build one where the server's packages are not what it needs; server: use these anyway.",
    ),
    click.option("--isolation", default="", metavar="NAME", help="Where replicas run; see `prism doctor`."),
    click.option(
        "--memory-limit", "memory_limit_bytes", type=Size(), help="Most memory of a replica: 512MB, 2GB."
    ),
)


def upload_options(
    metavar: str = "FILE|DIR|URI", complete: Callable[..., Any] = complete_files
) -> Callable[[Function], Function]:
    """Add what `prism upload` and `prism share` ask about a model, and the argument that names it."""

    def add(function: Function) -> Function:
        for option in reversed(_OPTIONS):
            function = option(function)
        return click.argument("artifact", metavar=metavar, shell_complete=complete)(function)

    return add


EXAMPLES = """
prism upload churn_model.pkl
prism upload model.onnx --name digits --option threads=2 --replicas 2
prism upload churn_model.pkl --alias champion --example rows.json
prism upload forest.joblib --optimize
prism upload churn_model.pkl --requirements requirements.txt --python 3.12
"""


@command("upload", examples=EXAMPLES)
@upload_options()
def upload(artifact: str, **options: Any) -> None:
    """Upload a model and print its link.

    FILE is what you trained (.pkl .joblib .skops .onnx ...), DIR a model of several files.
    The previous version serves until the new one is ready. The same bytes with the same
    options are the version that exists.
    """
    common = Common.of()
    version, server = uploaded(common, artifact, options)
    if common.json:
        write_json(result(version))
    else:
        announce(version, options["example"], common, server["auth"])


def uploaded(common: Common, artifact: str, options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Upload ``artifact``; return the version that it became, and what its server says of itself."""
    with located(artifact) as source, admin(common) as client:
        with progress_of(source.name, source.size_bytes, quiet=common.json) as progress:
            version = send(client, source, request_of(**options), progress)
        return version, client.server()


def request_of(
    *, example: Path | None, requirements: Path | None = None, no_preload: bool = False, **given: Any
) -> dict[str, Any]:
    """Return the upload request, with nothing in it that was not said."""
    # A number that is 0 says something, an option that was not given does not.
    request = {key: value for key, value in given.items() if value or type(value) in (int, float)}
    if no_preload:
        request["preload"] = False
    if requirements or given.get("python"):
        request |= _needs(requirements, given.get("python", ""))
    if example:
        request["example"] = base64.b64encode(example.read_bytes()).decode()
        request["example_media_type"] = media_type_of(example)
    return request


def _needs(path: Path | None, python: str) -> dict[str, Any]:
    """Return what a file and ``--python`` say of the packages and the Python that a model needs."""
    from prism_core.environments.needs import checked_python
    from prism_core.environments.stated import stated

    if path is None:
        return {"python": checked_python(python)}
    found = stated(path, python)
    for note in found.notes:
        warn(note)
    said = {"requirements": list(found.requirements), "python": found.python}
    return {key: value for key, value in said.items() if value}
