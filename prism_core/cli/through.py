"""Ask a server from outside: under an address that somebody shared, with a key or a link's token."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs
import rich_click as click

from prism_core.cli.client import CONNECT_S, READ_S, ServerNotFound, not_believed, problem_of
from prism_core.cli.links import split_address
from prism_core.cli.media import JSON
from prism_core.cli.options import Common
from prism_core.cli.trusting import verification
from prism_core.errors import PrismError, Unauthorized
from prism_core.rest.snippets import PASSWORD

if TYPE_CHECKING:
    import httpx

NO_KEY = "Give a key with --key or PRISM_KEY; the owner makes one with `prism keys create`."
NO_TOKEN = "Give the whole address of the link, with what follows its #, in quotes; or its token with --key."
NOT_THERE = "Perhaps it is down, or has another address by now: ask whoever shared it."
NO_PASSWORD = f"Its owner knows it; give it in {PASSWORD}, or where it is asked for on a terminal."


@attrs.frozen
class Link:
    """A link that somebody shared: its address without a slash at the end, and its token."""

    url: str
    token: str

    @classmethod
    def of(cls, address: str, key: str) -> Link | None:
        """Return the link that ``address`` is, None if it is none; ``key`` where no token is in it."""
        base, slug, token = split_address(address)
        return cls(f"{base}/s/{slug}", token or key) if slug else None

    def predict(self, body: bytes, headers: Mapping[str, str], query: Mapping[str, str]) -> httpx.Response:
        """Ask the link's model; where the link has a password, that is asked for."""
        url = f"{self.url}/predict"
        try:
            return post(url, body, with_key(headers, self.token), query, shared=True)
        except Unauthorized as error:
            if not error.details.get("password"):
                error.hint = NO_TOKEN
                raise
        return post(url, body, with_key(headers, self._session()), query, shared=True)

    def _session(self) -> str:
        """Return what the link gives for its token and its password."""
        shown = json.dumps({"token": self.token, "password": password()}).encode()
        try:
            answer = post(f"{self.url}/open", shown, {"Content-Type": JSON}, {}, shared=True)
        except Unauthorized as error:
            error.hint = NO_PASSWORD
            raise
        session: str = answer.json()["session"]
        return session


def password() -> str:
    """Return a link's password: of the environment, else as it is typed.

    Raises
    ------
    Unauthorized
        If nobody can type it here.
    """
    if found := os.environ.get(PASSWORD):
        return found
    if not sys.stdin.isatty():
        raise Unauthorized("The link asks for its password, too.", hint=NO_PASSWORD)
    typed: str = click.prompt("Password of the link", hide_input=True, err=True)
    return typed


def with_key(headers: Mapping[str, str], key: str | None) -> dict[str, str]:
    """Return headers with what opens, where there is something."""
    return {**headers, "Authorization": f"Bearer {key}"} if key else {**headers}


def post(
    url: str, body: bytes, headers: Mapping[str, str], query: Mapping[str, str], *, shared: bool
) -> httpx.Response:
    """Send a request; only a ``shared`` address of somebody else may need the environment's proxy."""
    import httpx

    try:
        timeout = httpx.Timeout(READ_S, connect=CONNECT_S)
        # `params=` would drop the query that a shared address may carry.
        target = httpx.URL(url).copy_merge_params(query)
        verify = verification(url, Common.of())
        response = httpx.post(
            target, content=body, headers=headers, timeout=timeout, trust_env=shared, verify=verify
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise not_believed(url, error) from error
        hint = NOT_THERE if shared else "`prism serve` starts it."
        raise ServerNotFound(f"No server answers at {url}: {error}.", hint=hint) from error
    if response.is_error or response.is_redirect:
        raise _refusal(response, shared)
    return response


def _refusal(response: httpx.Response, shared: bool) -> PrismError:
    refused = problem_of(response)
    if isinstance(refused, Unauthorized):
        refused.hint = NO_KEY
    elif shared and type(refused) is PrismError:
        refused.hint = NOT_THERE
    return refused
