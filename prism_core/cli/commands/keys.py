"""``prism keys``: make, list and revoke the keys of callers."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import rich_click as click

from prism_core.cli.client import AdminClient, admin
from prism_core.cli.durations import Duration, until
from prism_core.cli.models import complete_models
from prism_core.cli.options import Common, command, group
from prism_core.cli.output import ago, escaped, warn, write_json, write_table

COLUMNS = ("ID", "NAME", "MODELS", "SCOPES", "RATE", "PREDICTIONS", "EXPIRES", "USED")


EXAMPLES = """
prism keys create --model churn --rate 5/s --quota 1000 --expires 2h
export PRISM_KEY=$(prism keys create --model churn --name ann)
prism keys list
prism keys revoke ab12cd34
"""


@group("keys", examples=EXAMPLES)
def keys() -> None:
    """Make, list and revoke API keys.

    They are asked for where the server runs with `--auth keys`.
    """


@command("create")
@click.option("--name", default="", metavar="TEXT", help="What the key is called in lists.")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="MODEL",
    shell_complete=complete_models,
    help="A model that it is for; may be repeated.  [default: all, also those to come]",
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["predict", "read"]),
    default=["predict"],
    show_default=True,
    help="predict, with the model's pages; or the pages alone.",
)
@click.option("--rate", default="", metavar="RATE", help="How often: 5/s, 100/min, '5/s burst 20'.")
@click.option("--quota", metavar="N", type=click.IntRange(1), help="How many predictions in all.")
@click.option("--expires", "expires_s", type=Duration(), help="When it ends: 90s, 2h, 7d.")
def create(**wish: Any) -> None:
    """Make a key and print it.

    It is shown this once: the server keeps only a digest of it.
    """
    with admin() as client:
        made = create_key(client, **wish)
    if Common.of().json:
        write_json(made)
        return
    for model in made["unknown_models"]:
        warn(f"There is no model {model!r} yet.")
    click.echo(described(made), err=True)
    click.echo(made["key"])
    click.secho("It is shown this once. Send it as `Authorization: Bearer KEY`.", dim=True, err=True)


def create_key(client: AdminClient, **wish: Any) -> dict[str, Any]:
    """Let the server make a key; its text is under ``key``."""
    said = {name: value for name, value in wish.items() if value}
    made: dict[str, Any] = client.call("POST", "/keys", body=said)
    auth = client.server()["auth"]
    if auth != "keys":
        warn(f"This server asks nobody for a key (auth: {auth}); start it with --auth keys.")
    return made


def described(key: dict[str, Any]) -> str:
    """Return one line about a key."""
    parts = [
        f"Key {key['id']} for {', '.join(key['models'] or ['all models'])}: {', '.join(key['scopes'])}",
        *([key["rate"]] if key["rate"] else []),
        *([f"{key['quota']} predictions in all"] if key["quota"] else []),
        *([f"expires {until(key['expires'], time.time())}"] if key["expires"] else []),
    ]
    return ", ".join(parts)


@command("list")
def list_keys() -> None:
    """List the keys, without their secrets."""
    with admin() as client:
        found = client.call("GET", "/keys")["keys"]
    if Common.of().json:
        write_json(found)
    elif not found:
        click.echo("There are no keys yet. Make one: prism keys create --model MODEL")
    else:
        write_table(COLUMNS, [_row(key) for key in found])


def _row(key: dict[str, Any]) -> tuple[str, ...]:
    expires = until(key["expires"], time.time())
    return (
        f"[bold]{key['id']}[/]",
        escaped(key["name"] or "-"),
        escaped(", ".join(key["models"] or ["all"])),
        ", ".join(key["scopes"]),
        key["rate"] or "-",
        f"{key['used']} of {key['quota']}" if key["quota"] else str(key["used"]),
        f"[red]{expires}[/]" if key["expired"] else expires,
        ago(key["last_used"]) if key["last_used"] else "never",
    )


@command("revoke")
@click.argument("key_id", metavar="ID")
def revoke(key_id: str) -> None:
    """Revoke a key: its next request is refused."""
    with admin() as client:
        found = client.call("DELETE", f"/keys/{quote(key_id, safe='')}")
    if Common.of().json:
        write_json(found)
    else:
        click.echo(f"Key {key_id} is revoked.")


for one in (create, list_keys, revoke):
    keys.add_command(one)
