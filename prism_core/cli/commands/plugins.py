"""``prism plugins``: what is installed, what each offers, what is broken. Works without a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prism_core.cli.options import Common, command
from prism_core.cli.output import escaped, write_json, write_table

if TYPE_CHECKING:
    from prism_core.plugins import PluginSet

# Hook -> what people call the things that it offers.
KINDS = {
    "prism_loaders": "loads",
    "prism_normalizers": "media types",
    "prism_isolation_backends": "isolation",
    "prism_caches": "cache",
    "prism_rate_stores": "rate store",
    "prism_link_providers": "link",
    "prism_guards": "guard",
    "prism_observers": "observer",
    "prism_dialects": "dialect",
    "prism_frontends": "frontend",
    "prism_commands": "command",
    "prism_inspect_artifact": "inspects artifacts",
    "prism_fetch_artifact": "fetches artifacts",
    "prism_runtime_startup": "prepares runtimes",
}


EXAMPLES = """
prism plugins
prism serve --plugins sklearn,onnx     # load exactly these
"""


@command("plugins", examples=EXAMPLES)
def plugins() -> None:
    """List plugins, what each offers, and what is broken."""
    from prism_core.plugins import load_plugins

    found = load_plugins()
    if Common.of().json:
        write_json(_facts(found))
        return
    rows = [
        (f"[bold]{escaped(p.name)}[/]", escaped(p.version), _offers(p.offers)) for p in found.plugins.values()
    ]
    rows += [
        (f"[bold]{escaped(name)}[/]", "", f"[red]{escaped(error.message)}[/]\n[cyan]{escaped(error.hint)}[/]")
        for name, error in found.failures.items()
    ]
    write_table(("PLUGIN", "VERSION", "OFFERS"), rows, fold=True)


def _facts(found: PluginSet) -> dict[str, Any]:
    return {
        "plugins": [
            {"name": p.name, "version": p.version, "distribution": p.distribution, "offers": p.offers}
            for p in found.plugins.values()
        ],
        "failures": [
            {"name": name, "error": error.message, "hint": error.hint}
            for name, error in found.failures.items()
        ],
    }


def _offers(offers: Any) -> str:
    lines = []
    for hook, names in offers.items():
        kind = KINDS.get(hook, hook)
        lines.append(escaped(kind if names == (hook,) else f"{kind}: {', '.join(names)}"))
    return "\n".join(lines) or "-"
