"""``prism show``: one version, its signature, its replicas."""

from __future__ import annotations

import time
from itertools import zip_longest
from typing import Any

import rich_click as click

from prism_core.cli.client import admin
from prism_core.cli.durations import until
from prism_core.cli.models import model_argument, version_option
from prism_core.cli.optimized import optimization_lines
from prism_core.cli.options import Common, command
from prism_core.cli.output import ago, escaped, memory_text, state_text, write_json, write_table
from prism_core.sizes import format_bytes

EXAMPLES = """
prism show churn
prism show churn/2 --json
"""

# As much of a description fits beside the other facts.
SHOWN = 100


@command("show", examples=EXAMPLES)
@model_argument
@version_option
def show(model: str, version: int | None) -> None:
    """Show a version: state, signature, replicas and memory.

    MODEL is churn (its latest version), churn/3 or churn@champion.
    """
    with admin() as client:
        found = client.version(*client.resolve(model, version))
    if Common.of().json:
        write_json(found)
    else:
        write_table(("", ""), _facts(found))
        _write_signature(found["signature"])
        _write_replicas(found["replicas"])


def _facts(found: dict[str, Any]) -> list[tuple[str, str]]:
    facts = [
        ("model", f"[bold]{escaped(found['model'])}[/] version {found['version']}"),
        ("state", state_text(found["state"])),
        ("aliases", escaped(", ".join(found["aliases"]))),
        ("route", escaped(_traffic(found))),
        ("artifact", escaped(f"{found['artifact']}, {format_bytes(found['size_bytes'])}")),
        ("digest", escaped(found["digest"])),
        ("loader", escaped(found["loader"])),
        ("options", escaped(", ".join(f"{key}={value}" for key, value in found["options"].items()))),
        ("isolation", escaped(found["isolation"])),
        ("environment", _environment(found)),
        ("runs with", _runs_with(found)),
        ("description", escaped(_first_line(found.get("description", "")))),
        ("created", ago(found["created"])),
        ("loaded", _loaded(found)),
        ("last used", ago(found["last_used"]) if found["last_used"] else ""),
        ("url", escaped(found["url"])),
        ("error", f"[red]{escaped(found['error'])}[/]" if found["error"] else ""),
        *(("optimize", escaped(line)) for line in optimization_lines(found.get("optimization"))),
        *(("warning", f"[yellow]{escaped(warning)}[/]") for warning in found["warnings"]),
    ]
    return [(f"[dim]{name}[/]", text) for name, text in facts if text]


def _traffic(found: dict[str, Any]) -> str:
    """Return what routes give a version; that its model's gives it nothing, where it has one."""
    given = ", ".join(found.get("traffic", ()))
    if not given and found.get("routed"):
        return f"nothing; `prism route {found['model']}` shows what goes where"
    return given


def _first_line(text: str) -> str:
    """Return the beginning of a description: its page has the rest."""
    line = next((one.strip("#* ") for one in text.splitlines() if one.strip("#* ")), "")
    return line if len(line) <= SHOWN else f"{line[:SHOWN]} …"


def _environment(found: dict[str, Any]) -> str:
    key = found.get("environment", "server")
    if key == "server":
        return "the server's own"
    return escaped(f"{key}; `prism env {found['model']}/{found['version']}` shows its packages")


def _runs_with(found: dict[str, Any]) -> str:
    """Return the framework and the Python that its replicas tell of, each once."""
    told = ((one.get("framework", ""), one.get("python", "")) for one in found["replicas"])
    texts = (", ".join(filter(None, (name, python and f"Python {python}"))) for name, python in told)
    return escaped("; ".join(dict.fromkeys(filter(None, texts))))


def _loaded(found: dict[str, Any]) -> str:
    if found["state"] != "READY":
        return ""
    if not found["loaded"]:
        return "no; its next call loads it"
    warm = found.get("warm_until")
    return f"yes, and unloaded {until(warm, time.time())} unless something leads to it" if warm else "yes"


def _write_signature(signature: dict[str, Any] | None) -> None:
    if not signature:
        return
    rows = [("input", spec) for spec in signature["inputs"]] + [
        ("output", spec) for spec in signature["outputs"]
    ]
    write_table(("", "NAME", "TYPE", "SHAPE", "VALUES"), [(side, *_tensor(spec)) for side, spec in rows])
    if signature.get("classes"):
        click.echo(f"classes: {', '.join(map(str, signature['classes']))}\n")


def _tensor(spec: dict[str, Any]) -> tuple[str, ...]:
    shape = " x ".join("any" if length == -1 else str(length) for length in spec["shape"])
    values = ", ".join(map(str, spec.get("categories") or _columns(spec)))
    nullable = " or null" if spec.get("nullable") else ""
    return escaped(spec["name"]), f"{spec['datatype']}{nullable}", shape, escaped(values)


def _columns(spec: dict[str, Any]) -> list[str]:
    """Return the names of the last axis with the range of each, as far as they are known."""
    ranges, names = spec.get("ranges") or [], spec.get("columns") or []
    texts = [f"{one[0]:.15g} to {one[1]:.15g}" if one else "" for one in ranges]
    if not names:
        return [text or "any" for text in texts]
    if len(texts) == 1:
        return [f"{', '.join(names)}: {texts[0]}"]
    return [f"{name} ({text})" if text else name for name, text in zip_longest(names, texts)]


def _write_replicas(replicas: list[dict[str, Any]]) -> None:
    if replicas:
        columns = ("REPLICA", "PID", "STATE", "SANDBOX", "OWN MEMORY", "WITH SHARE", "RESTARTS")
        write_table(columns, [_replica(r) for r in replicas])


def sandbox_text(level: str) -> str:
    """Return how a replica is shut in, in a colour that says whether that is enough for strangers."""
    colour = "green" if level in ("namespaces", "landlock", "container") else "yellow"
    return f"[{colour}]{escaped(level)}[/]" if level else ""


def _replica_state(replica: dict[str, Any]) -> str:
    """Return a replica's state, and that it is left out while others answer."""
    left_out = replica.get("circuit", "closed") != "closed"
    return state_text(str(replica["state"])) + (" [yellow]left out[/]" if left_out else "")


def _replica(replica: dict[str, Any]) -> tuple[str, ...]:
    return (
        escaped(replica["replica"]),
        str(replica["pid"]),
        _replica_state(replica),
        sandbox_text(replica.get("sandbox", "")),
        memory_text(replica.get("memory_bytes")),
        memory_text(replica.get("share_bytes")),
        str(replica.get("restarts", 0)),
    )
