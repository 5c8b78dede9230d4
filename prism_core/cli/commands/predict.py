"""``prism predict``: ask a model, from the shell."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import rich_click as click

from prism_core.cli.answers import write_answer
from prism_core.cli.client import admin, parse_reference, problem_of
from prism_core.cli.media import JSON, MEDIA_TYPES, media_type_of
from prism_core.cli.models import model_argument, version_option
from prism_core.cli.options import Common, command
from prism_core.cli.trusting import verification
from prism_core.errors import Unauthorized

# Keys by which a JSON body is one already; anything else is rows.
BODY_KEYS = {"input", "inputs", "instances"}


EXAMPLES = """
prism predict churn --input '[{"tenure": 3, "plan": "basic"}]'
prism predict churn rows.csv --outputs predictions,probabilities
prism predict digits three.png --json
cat rows.json | prism predict churn -
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

    MODEL is churn, churn/3, churn@champion, or a link that somebody shared.
    FILE may be .json .csv .npy .png .jpg .txt; - is standard input.
    """
    body, found = _body(file, text)
    url = model if "://" in model else _url(model, version)
    headers = {"Content-Type": media_type or found, "Accept": accept}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    query = {"outputs": outputs} if outputs else {}
    response = _post(url, body, headers, query, shared="://" in model)
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


def _post(url: str, body: bytes, headers: dict[str, str], query: dict[str, str], *, shared: bool) -> Any:
    """Send a request; only a ``shared`` link of somebody else may need the environment's proxy."""
    import httpx

    from prism_core.cli.client import CONNECT_S, READ_S, ServerNotFound, not_believed

    try:
        timeout = httpx.Timeout(READ_S, connect=CONNECT_S)
        # `params=` would drop the query that a shared link may carry.
        target = httpx.URL(url).copy_merge_params(query)
        verify = verification(url, Common.of())
        response = httpx.post(
            target, content=body, headers=headers, timeout=timeout, trust_env=shared, verify=verify
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise not_believed(url, error) from error
        raise ServerNotFound(f"No server answers at {url}: {error}.") from error
    if response.is_error:
        refused = problem_of(response)
        if isinstance(refused, Unauthorized):
            refused.hint = "Give a key with --key or PRISM_KEY; the owner makes one with `prism keys create`."
        raise refused
    return response
