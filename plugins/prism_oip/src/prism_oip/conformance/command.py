"""``prism conformance URL``."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import rich_click as click
from click.exceptions import Exit

from prism_core.plugin import CommandLine
from prism_oip.conformance.check import GROUPS, Check
from prism_oip.conformance.exchange import Unmet
from prism_oip.conformance.tensors import Tensor

if TYPE_CHECKING:
    from prism_oip.conformance.inspection import Wish
    from prism_oip.conformance.running import Outcome


@click.command("conformance")
@click.argument("url", required=False)
@click.option("--model", "models", multiple=True, metavar="NAME", help="Ask this model; repeat for more.")
@click.option(
    "--input", "request", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="A request in JSON that the model takes; else requests are made from its metadata.",
)  # fmt: skip
@click.option(
    "--grpc", metavar="HOST:PORT", help="Ask by gRPC, too, there; grpcs://HOST:PORT where it is encrypted."
)
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Send this header, too.")
@click.option("--key", help="Send this key, as Authorization: Bearer.")
@click.option(
    "--only", "groups", multiple=True, type=click.Choice(GROUPS), help="Check this group; repeat for more."
)
@click.option(
    "--extension", "extensions", multiple=True, metavar="NAME", help="Count this extension as advertised."
)
@click.option("--write", is_flag=True, help="Also load and unload the models.")
@click.option("--admin", metavar="URL", help="Where models are loaded and unloaded, if elsewhere.")
@click.option("--admin-key", metavar="KEY", help="Send this key there, in place of --key.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    metavar="S",
    help="Wait so long for each answer.",
)
@click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Trust the certificates in this file.",
)
@click.option(
    "--grpc-ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Trust those in this file over gRPC, in place of --ca.",
)
@click.option(
    "--junit",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the report there as JUnit's XML.",
)
@click.option("--list", "listing", is_flag=True, help="List what is checked, and ask nothing.")
@click.pass_obj
def conformance(
    cli: CommandLine,
    /,
    url: str | None,
    groups: tuple[str, ...],
    junit: Path | None,
    listing: bool,
    **said: Any,
) -> None:
    """Ask a server of the Open Inference Protocol V2, any, what of the protocol holds there.

    URL is where it serves /v2, such as http://127.0.0.1:8000. Exits with 0 if all that the protocol
    requires, and all that the server advertises, holds; with 1 if something does not.
    """
    from prism_oip.conformance.table import chosen  # the help of all commands does without checks

    checks = chosen(groups)
    if listing:
        _list(cli, checks)
        return
    if not url:
        raise click.UsageError("Say which server: prism conformance http://HOST:PORT")
    wish = _wish(url, **said)
    with cli.progress(f"Asking {wish.url}") as tell:
        outcomes = _inspected(wish, checks, tell)
    _report(cli, wish.url, outcomes, junit)


def _report(cli: CommandLine, url: str, outcomes: Sequence[Outcome], junit: Path | None) -> None:
    from prism_oip.conformance.report import as_json, as_junit, conformant, lines

    if junit:
        junit.write_bytes(as_junit(outcomes))
    if cli.json:
        cli.write_json(as_json(url, outcomes))
    else:
        click.echo("\n".join(lines(outcomes)))
    if not conformant(outcomes):
        raise Exit(1)


def _inspected(wish: Wish, checks: Sequence[Check], tell: Callable[[str], None]) -> list[Outcome]:
    from prism_oip.conformance.inspection import inspected

    try:
        return asyncio.run(inspected(wish, checks, tell))
    except ImportError as error:
        hint = "gRPC needs more packages: pip install 'prism-oip[grpc]'"
        raise click.UsageError(f"{hint} ({error})") from None


def _wish(
    url: str,
    *,
    request: Path | None,
    ca: Path | None,
    grpc_ca: Path | None,
    headers: Sequence[str],
    key: str | None,
    admin: str | None,
    admin_key: str | None,
    **rest: Any,
) -> Wish:
    from prism_oip.conformance.inspection import Wish

    return Wish(
        _base(url),
        inputs=_inputs(request),
        ca=_certificates(ca),
        grpc_ca=_certificates(grpc_ca or ca),
        headers=_lines(headers, key),
        admin=_base(admin) if admin else None,
        admin_headers=_lines(headers, admin_key or key),
        **rest,
    )


def _base(url: str) -> str:
    base = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(base)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right or not base.isprintable():
        raise click.UsageError(f"{url} is no URL of HTTP.")
    return base.rstrip("/").removesuffix("/v2")


def _certificates(path: Path | None) -> str:
    """Return the certificates of a file, without a key that may lie beside them."""
    if path is None:
        return ""
    found = re.findall(
        r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", path.read_text("latin-1"), re.S
    )
    try:
        ssl.create_default_context(cadata="\n".join(found))
    except (ssl.SSLError, ValueError):
        found = []
    if not found:
        raise click.UsageError(f"{path} holds no certificates, as PEM.")
    return "\n".join(found)


def _inputs(path: Path | None) -> tuple[Tensor, ...]:
    from prism_oip.conformance.discovery import given

    try:
        return given(path.read_bytes()) if path else ()
    except Unmet as unmet:
        raise click.UsageError(f"{path} is no request: {unmet.expected}, not {unmet.found}") from None


def _lines(headers: Sequence[str], key: str | None) -> dict[str, str]:
    told: dict[str, str] = {}
    for line in [f"Authorization: Bearer {key}", *headers] if key else headers:
        name, colon, value = line.partition(":")
        if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name.strip()) or not _plain(value):
            raise click.UsageError(f"{line!r} is no header; write it as 'NAME: VALUE'.")
        told[name.strip()] = value.strip()
    return told


def _plain(value: str) -> bool:
    return value.isascii() and value.isprintable()


def _list(cli: CommandLine, checks: Sequence[Check]) -> None:
    from prism_oip.conformance.report import described

    if cli.json:
        cli.write_json([described(one) for one in checks])
    else:
        cli.write_table(
            ("Check", "Level", "What holds"), [(one.name, one.level, one.sentence) for one in checks]
        )
