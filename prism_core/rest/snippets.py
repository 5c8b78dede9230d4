"""One request in curl, Python and JavaScript, each short and working as pasted.

For the command line and for pages alike. Whoever pastes needs nothing but the language.
"""

from __future__ import annotations

import json
import shlex
from typing import Any

import attrs

JSON = "application/json"


@attrs.frozen
class Sample:
    """A body to begin with.

    Parameters
    ----------
    media_type
        What it is sent as.
    body
        The values of a JSON body, None where they would be too many to read.
    file
        Then the file that is sent instead, which whoever asks puts there.
    """

    media_type: str = JSON
    body: Any = None
    file: str = ""


def curl(url: str, sample: Sample, key: str = "", more: str = "") -> str:
    """Return a command line for a shell; ``key`` may be a variable of it, ``more`` are further options."""
    keyed = f' -H "Authorization: Bearer {key}"' if key else ""
    typed = shlex.quote(f"Content-Type: {sample.media_type}")
    if sample.file:
        data = f"--data-binary @{shlex.quote(sample.file)}"
    else:
        data = f"-d {shlex.quote(_json(sample.body))}"
    return f"curl -X POST {shlex.quote(url)}{more}{keyed} -H {typed} {data}"


def python(url: str, sample: Sample, key: str = "") -> str:
    """Return lines of Python that need no package."""
    given, body = f"body = {sample.body!r}\n", "json.dumps(body).encode()"
    if sample.file:
        given, body = f"body = pathlib.Path({json.dumps(sample.file)}).read_bytes()\n", "body"
    # Some proxies of the internet turn urllib's own name away.
    headers = _headers(sample, key) | {"User-Agent": "Python"}
    return (
        f"import json{', pathlib' if sample.file else ''}\n"
        "from urllib.request import Request, urlopen\n"
        "\n"
        f"{given}"
        f"headers = {json.dumps(headers)}\n"
        f"request = Request({json.dumps(url)}, {body}, headers)\n"
        "print(json.load(urlopen(request)))"
    )


def javascript(url: str, sample: Sample, key: str = "") -> str:
    """Return lines of JavaScript, for a page as for Node; a file is read with Node."""
    body, given = f"JSON.stringify({_json(sample.body)})", ""
    if sample.file:
        body = "body"
        given = (
            f'const body = await (await import("node:fs/promises")).readFile({json.dumps(sample.file)});\n'
        )
    return (
        f"{given}"
        f"const answer = await fetch({json.dumps(url)}, {{\n"
        '  method: "POST",\n'
        f"  headers: {json.dumps(_headers(sample, key))},\n"
        f"  body: {body},\n"
        "});\n"
        "console.log(await answer.json());"
    )


def _headers(sample: Sample, key: str) -> dict[str, str]:
    keyed = {"Authorization": f"Bearer {key}"} if key else {}
    return {**keyed, "Content-Type": sample.media_type}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
