"""``prism predict``: ask a model, from the shell."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from urllib.parse import quote

import rich_click as click

from prism_core.cli.answers import write_answer
from prism_core.cli.client import admin, parse_reference
from prism_core.cli.media import JSON, MEDIA_TYPES, media_type_of
from prism_core.cli.models import model_argument, version_option
from prism_core.cli.options import Common, command
from prism_core.cli.through import Link, post, with_key

# Keys by which a JSON body is one already; anything else is rows.
BODY_KEYS = {"input", "inputs", "instances"}


EXAMPLES = """
prism predict churn --input '[{"tenure": 3, "plan": "basic"}]'
prism predict churn rows.csv --outputs predictions,probabilities
prism predict digits three.png --json
cat rows.json | prism predict churn -
prism predict 'https://links.example.org/s/k3m9x2p7qa#prl_...' rows.csv
prism predict http://192.168.0.14:8000/model/churn/predict rows.csv
"""


@command("predict", examples=EXAMPLES)
@model_argument
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@version_option
@click.option("--input", "text", metavar="JSON", help="The rows, instead of a file.")
@click.option("--outputs", metavar="A,B", help="Which outputs to compute, for instance probabilities.")
@click.option(
    "--type", "media_type", metavar="TYPE", help="Media type of the input, else by the file's suffix."
)
@click.option("--key", envvar="PRISM_KEY", metavar="TEXT", help="API key or token, where one is asked for.")
@click.option("--accept", default=JSON, show_default=True, metavar="TYPE", help="Media type of the answer.")
def predict(
    model: str,
    file: str | None,
    version: int | None,
    text: str | None,
    outputs: str | None,
    media_type: str | None,
    accept: str,
    key: str | None,
) -> None:
    """Predict with a model.

    MODEL is churn, churn/3, churn@champion, or the address of a link that somebody shared,
    in quotes and with what follows its #.
    FILE may be .json .csv .npy .png .jpg .txt; - is standard input.
    """
    body, found = _body(file, text)
    headers = {"Content-Type": media_type or found, "Accept": accept}
    query = {"outputs": outputs} if outputs else {}
    shared = "://" in model
    link = Link.of(model, key or "") if shared else None
    if link:
        response = link.predict(body, headers, query)
    else:
        url = model if shared else _url(model, version)
        response = post(url, body, with_key(headers, key), query, shared=shared)
    write_answer(response, as_json=Common.of().json)


def _body(file: str | None, text: str | None) -> tuple[bytes, str]:
    """Return the request's body and its media type."""
    if (file is None) == (text is None):
        raise click.UsageError("Give a FILE (- is standard input), or --input JSON.")
    if text is not None:
        return _json_body(text), JSON
    if file == "-":
        return sys.stdin.buffer.read(), JSON
    path = Path(file or "")
    data = path.read_bytes()
    if path.suffix.lower() not in MEDIA_TYPES:
        raise click.UsageError(f"{path.name!r}: the suffix says nothing; name its media type with --type.")
    return data, media_type_of(path)


def _json_body(text: str) -> bytes:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"--input is not JSON: {error}.") from error
    is_body = isinstance(value, dict) and BODY_KEYS & value.keys()
    return json.dumps(value if is_body else {"input": value}).encode()


def _url(reference: str, version: int | None) -> str:
    """Return where the server that the options mean predicts with ``reference``."""
    name, asked, alias = parse_reference(reference)
    asked = version or asked
    with admin() as client:
        public = client.server()["public"].rstrip("/")
    path = quote(name) + (f"@{quote(alias)}" if alias else "") + (f"/versions/{asked}" if asked else "")
    return f"{public}/model/{path}/predict"
