"""The tables of a run as Markdown, and their place in BENCHMARKS.md. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from bench.results import Document, middle

TITLES = {
    "logistic": "M1, logistic regression",
    "forest": "M2, forest of 100 trees",
    "forest-onnx": "M2 as ONNX",
    "mlp": "M3, ONNX MLP",
}
PLOT_LINKS = """![Requests a second over connections](bench/results/throughput.svg)

![Median latency over connections](bench/results/latency.svg)"""
# What is no server one could choose: the ceilings, and PRISM with its cache.
NO_PEERS = ("PRISM", "PRISM, cached", "ceiling", "bare ASGI")


def tables(document: Document) -> dict[str, str]:
    """Return all parts of the report by the name of their place in BENCHMARKS.md."""
    return {
        "machine": machine(document),
        "plots": PLOT_LINKS,
        "models": "\n\n".join(model_table(document, model) for model in document.models()),
        "ratios": ratios(document),
        "servers": server_table(document),
        **{name: scenario(document, name) for name in SCENARIOS},
    }


def machine(document: Document) -> str:
    """Return one paragraph: where, when and how."""
    facts, given = document.machine, document.given
    versions = ", ".join(
        f"{name} {facts[name]}" for name in ("python", "scikit-learn", "onnxruntime", "numpy")
    )
    return (
        f"{facts['date']}, commit {facts['commit']}; {facts['cpu']}, {facts['memory']}, {facts['system']}; "
        f"{versions}, uvicorn {facts['uvicorn']}, wrk {facts['wrk']}. "
        f"Medians of {given['rounds']} rounds of {given['seconds']} s."
    )


def model_table(document: Document, model: str) -> str:
    """Return the table of one model: a line a server, the quickest first."""
    head = ["server", "req/s, c=1", "p50 / p99 ms", "req/s, c=16", "p50 / p99 ms", "req/s, c=64", "spread"]
    head += ["p50 / p99 ms", "CPU us a request", "memory MB"]
    lines = [line_of(document, model, server) for server in ranked(document, model)]
    return f"**{TITLES.get(model, model)}**\n\n{grid(head, lines)}"


def ranked(document: Document, model: str) -> list[str]:
    """Return the servers that were measured with the model, the quickest with many connections first."""
    most = document.connections()[-1]
    speed = {server: document.median(model, server, most, "rps") for server in document.servers()}
    return sorted((server for server in speed if speed[server]), key=lambda server: -(speed[server] or 0))


def line_of(document: Document, model: str, server: str) -> list[str]:
    """Return a server's cells in a model's table."""
    cells = [f"**{server}**" if server == "PRISM" else server]
    for connections in (1, 16, 64):
        runs = document.of(model, server, connections)
        cells.append(number(middle(run.rps for run in runs)))
        if connections == 64:
            cells.append(f"{min(r.rps for r in runs):,.0f}-{max(r.rps for r in runs):,.0f}" if runs else "")
        latencies = (middle(run.p50_ms for run in runs), middle(run.p99_ms for run in runs))
        cells.append(" / ".join(f"{ms:.2f}" for ms in latencies if ms is not None))
    busiest = document.of(model, server, 64)
    cells.append(number(middle(sum(run.cpu_us.values()) for run in busiest)))
    starts = [s for s in document.starts if (s.model, s.server) == (model, server)]
    return [*cells, number(middle(start.memory_mb for start in starts))]


def ratios(document: Document) -> str:
    """Return how PRISM stands to the ceiling and to the best peer, a line a model."""
    head = ["model", "of the two-process ceiling, c=64"]
    head += [f"best peer, c={c}: PRISM's req/s are" for c in (1, 16, 64)] + ["p50 at c=1: PRISM / best peer"]
    return grid(head, [ratio_line(document, model) for model in document.models()])


def ratio_line(document: Document, model: str) -> list[str]:
    """Return one model's line of `ratios`."""
    cells = [TITLES.get(model, model), times(document, model, "ceiling", 64)]
    for connections in (1, 16, 64):
        best = best_peer(document, model, connections, "rps", max)
        cells.append(f"{best}: {times(document, model, best, connections)}" if best else "")
    quickest = best_peer(document, model, 1, "p50_ms", min)
    values = [document.median(model, server, 1, "p50_ms") for server in ("PRISM", quickest)]
    return [*cells, " / ".join(f"{ms:.2f}" for ms in values if ms is not None) + f" ms ({quickest})"]


def best_peer(document: Document, model: str, connections: int, field: str, best: Callable[..., str]) -> str:
    """Return the peer with the best median of a field; "" of none."""
    found = {
        server: value
        for server in document.servers()
        if server not in NO_PEERS and (value := document.median(model, server, connections, field))
    }
    return best(found, key=lambda server: found[server]) if found else ""


def times(document: Document, model: str, other: str, connections: int) -> str:
    """Return PRISM's requests a second as a multiple of another server's."""
    ours = document.median(model, "PRISM", connections, "rps")
    theirs = document.median(model, other, connections, "rps")
    return f"{ours / theirs:.2f} x" if ours and theirs else ""


def server_table(document: Document) -> str:
    """Return what it takes to have each server: version, cold start, installation."""
    head = ["server", "version", "cold start s, M1", "cold start s, M3", "packages", "installed MB"]
    lines = []
    for server in document.servers():
        cold = [
            middle(s.first_answer_s for s in document.starts if (s.model, s.server) == (model, server))
            for model in ("logistic", "mlp")
        ]
        had = document.installed.get(server)
        if had:
            seconds = ["" if value is None else f"{value:.1f}" for value in cold]
            lines.append([server, had["version"], *seconds, str(had["packages"]), f"{had['size_mb']:,.0f}"])
    return grid(head, lines) + failed(document)


def failed(document: Document) -> str:
    """Return a line for every start that did not count."""
    lines = [f"- {f.server}, {f.model}, round {f.round}: {f.reason}" for f in document.failures]
    return "\n\nNot counted:\n\n" + "\n".join(lines) if lines else ""


def cache_table(document: Document) -> str:
    """Return the cache's two questions: how quick is a hit, and what does traffic without hits pay?"""
    found = document.scenarios.get("cache")
    if not found:
        return ""
    head = ["", "req/s, c=64", "CPU us a request", "share"]
    lines = [
        ["bare ASGI application", number(found["bare_rps"]), number(found["bare_cpu_us"]), ""],
        hit_line(found),
        ["unique traffic, cache off", number(found["off_rps"]), f"{found['off_cpu_us']:.1f}", ""],
        [
            "unique traffic, cache on",
            number(found["on_rps"]),
            f"{found['on_cpu_us']:.1f}",
            f"{100 * (1 - found['on_of_off']):.1f} % lost, the median of pairs",
        ],
    ]
    return grid(head, lines)


def hit_line(found: dict[str, float]) -> list[str]:
    """Return the line of the cache's hits."""
    share = f"{found['hit_rps'] / found['bare_rps']:.2f} of bare ASGI"
    return ["PRISM, every request a hit", number(found["hit_rps"]), number(found["hit_cpu_us"]), share]


def overload_table(document: Document) -> str:
    """Return what a constant rate does to the server, a line a rate."""
    found = document.scenarios.get("overload")
    if not found:
        return ""
    head = [
        "model",
        "load",
        "offered/s",
        "answered/s",
        "p50 / p99 ms",
        "refused/s (503)",
        "p99 of a refusal, ms",
    ]
    head += ["without Retry-After", "failed", "generator late, p99 ms"]
    lines = [
        [
            TITLES[level["model"]],
            f"{100 * level['share']:.0f} %",
            number(level["offered_rps"]),
            number(level["accepted_rps"]),
            f"{level['p50_ms']:.1f} / {level['p99_ms']:.1f}",
            number(level["refused_rps"]),
            f"{level['refused_p99_ms']:.1f}" if level["refused_rps"] else "",
            number(level["without_retry_after"]),
            number(level["failed"]),
            f"{level['late_p99_ms']:.2f}",
        ]
        for level in found["levels"]
    ]
    return grid(head, lines)


SCENARIOS: dict[str, Callable[[Document], str]] = {"cache": cache_table, "overload": overload_table}


def scenario(document: Document, name: str) -> str:
    """Return a scenario's table; a word where it was not run."""
    return SCENARIOS[name](document) or "Not in this run."


def number(value: float | None) -> str:
    """Return a number with thousands separated; "" of none."""
    return "" if value is None else f"{value:,.0f}"


def grid(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are numbers."""
    rules = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rules, *lines))


def insert(page: str, parts: dict[str, str]) -> str:
    """Return the page with each part between its two comments, ``<!-- NAME -->`` and ``<!-- end -->``."""
    for name, text in parts.items():
        place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        page, count = place.subn(lambda found, text=text: f"{found[1]}\n{text}\n\n{found[2]}", page)
        if not count:
            raise ValueError(f"The page has no place for {name!r}: <!-- {name} --> ... <!-- end -->")
    return page
