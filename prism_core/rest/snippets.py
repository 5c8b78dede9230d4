"""One request in curl, Python and JavaScript, each short and working as pasted.

For the command line and for pages alike. Whoever pastes needs nothing but the language.
"""

from __future__ import annotations

import json
import shlex
from typing import Any

import attrs

JSON = "application/json"
# Where whoever asks has the password of a link, in the environment.
PASSWORD = "PRISM_LINK_PASSWORD"
# Python and JavaScript have the session in a variable of this name.
_SESSION = '"Bearer " + session'


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


def curl(url: str, sample: Sample, key: str = "", more: str = "", *, opens: str = "") -> str:
    """Return a command line for a shell.

    Parameters
    ----------
    key
        A key, a token, or the shell's variable that holds one.
    more
        Further options.
    opens
        Where the key is exchanged for a session first, with the password of a link; "" where it
        has none.
    """
    typed = shlex.quote(f"Content-Type: {sample.media_type}")
    data = f"-d {shlex.quote(_json(sample.body))}"
    if sample.file:
        data = f"--data-binary @{shlex.quote(sample.file)}"
    shows = f' -H "Authorization: Bearer {key}"' if key else ""
    before = ""
    if opens:
        # The form's own way: a cookie, and no JSON to be taken apart in a shell.
        form = f'-d token={key} --data-urlencode "password=${PASSWORD}"'
        before = f"curl -s -c prism.cookies -o /dev/null{more} {shlex.quote(opens)} {form} &&\n"
        shows = " -b prism.cookies"
    return f"{before}curl -X POST {shlex.quote(url)}{more}{shows} -H {typed} {data}"


def python(url: str, sample: Sample, key: str = "", *, opens: str = "") -> str:
    """Return lines of Python that need no package; parameters as for `curl`."""
    modules = ["json", *(["os"] if opens else []), *(["pathlib"] if sample.file else [])]
    sent = "body" if sample.file else "json.dumps(body).encode()"
    body = f"pathlib.Path({json.dumps(sample.file)}).read_bytes()" if sample.file else repr(sample.body)
    return "\n".join(
        [
            f"import {', '.join(modules)}",
            "from urllib.request import Request, urlopen",
            "",
            *(_opened_in_python(opens, key) if opens else ()),
            f"url = {json.dumps(url)}",
            f"body = {body}",
            f"headers = {_python_headers(sample.media_type, _bearer(key, opens))}",
            f"request = Request(url, {sent}, headers)",
            "print(json.load(urlopen(request)))",
        ]
    )


def _opened_in_python(opens: str, token: str) -> list[str]:
    shown = f'{{"token": {json.dumps(token)}, "password": os.environ["{PASSWORD}"]}}'
    return [
        f"shown = {shown}",
        f"headers = {_python_headers(JSON, '')}",
        f"request = Request({json.dumps(opens)}, json.dumps(shown).encode(), headers)",
        'session = json.load(urlopen(request))["session"]',
    ]


def _python_headers(media_type: str, bearer: str) -> str:
    # Some proxies of the internet turn urllib's own name away.
    return _headers(media_type, bearer, '"User-Agent": "Python"', ("    ", ""))


def javascript(url: str, sample: Sample, key: str = "", *, opens: str = "") -> str:
    """Return lines of JavaScript, for a page as for Node; files and passwords are read with Node."""
    body = f"JSON.stringify({_json(sample.body)})"
    if sample.file:
        body = f'await (await import("node:fs/promises")).readFile({json.dumps(sample.file)})'
    before = ""
    if opens:
        shown = f"JSON.stringify({{token: {json.dumps(key)}, password: process.env.{PASSWORD}}})"
        before = f"const opened = await {_fetch(opens, _headers(JSON), shown)};\n"
        before += "const {session} = await opened.json();\n"
    headers = _headers(sample.media_type, _bearer(key, opens), margins=("    ", "  "))
    return f"{before}const answer = await {_fetch(url, headers, body)};\nconsole.log(await answer.json());"


def _fetch(url: str, headers: str, body: str) -> str:
    return f'fetch({json.dumps(url)}, {{\n  method: "POST",\n  headers: {headers},\n  body: {body},\n}})'


def _bearer(key: str, opens: str) -> str:
    """Return the value of the header that shows what opens, as an expression; "" where nothing does."""
    if opens:
        return _SESSION
    return json.dumps(f"Bearer {key}") if key else ""


def _headers(media_type: str, bearer: str = "", more: str = "", margins: tuple[str, str] = ("", "")) -> str:
    """Return headers as Python and JavaScript both write them; a token makes a long line."""
    shows = f'"Authorization": {bearer}' if bearer else ""
    parts = [part for part in (shows, f'"Content-Type": {json.dumps(media_type)}', more) if part]
    if len(parts) == 1:
        return f"{{{parts[0]}}}"
    inner, outer = margins
    lines = "".join(f"{inner}{part},\n" for part in parts)
    return f"{{\n{lines}{outer}}}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
