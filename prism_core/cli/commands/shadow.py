"""``prism shadow``: how versions that are asked too answer beside those that callers get."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import rich_click as click

from prism_core.cli.client import admin, model_path
from prism_core.cli.models import model_argument, whole_model
from prism_core.cli.options import Common, command
from prism_core.cli.output import ago, escaped, write_json, write_table

COLUMNS = ("SHADOW", "BESIDE", "REQUESTS", "ROWS", "AGREE", "95 %", "P50 MS", "P95 MS", "P99 MS", "FAILED")
# Why requests were not asked, or not compared, in words.
WORDS = {
    "busy": "live traffic left no room",
    "old": "waited too long for a gap in live traffic",
    "large": "too large",
    "not_loaded": "the shadow was not loaded",
    "stopped": "the shadow was stopped",
    "no_version": "a value answered",
    "live_failed": "only the live version failed",
    "other_failed": "only the shadow failed",
    "both_failed": "both failed",
    "media_types": "answered in different media types",
    "outputs": "no output in common",
    "row_counts": "different numbers of rows",
    "unreadable": "an answer could not be read",
}
# Which label stands for which: so many kinds of that are shown.
MOST_CHANGES = 5

EXAMPLES = """
prism shadow churn
prism shadow churn --examples
prism shadow churn --forget
"""


@command("shadow", examples=EXAMPLES)
@model_argument
@click.option("--examples", is_flag=True, help="Show the largest disagreements, too.")
@click.option("--forget", is_flag=True, help="Begin to compare anew.")
def shadow(model: str, examples: bool, forget: bool) -> None:
    """Show how the shadows of a model's route answer beside what callers get.

    A shadow is a version that is asked too, after the answer. Latencies and failures stand side by side: of
    the shadow, and of the version beside which it was asked.
    """
    path = f"{model_path(whole_model(model))}/shadows"
    with admin() as client:
        found = client.call("DELETE" if forget else "GET", path)
    if Common.of().json:
        write_json(found)
        return
    pairs = found["shadows"]
    if pairs:
        write_table(COLUMNS, [_row(one) for one in pairs])
        for one in pairs:
            click.echo("\n".join(_told(one, examples)))
    for line in _silent(found):
        click.echo(line)


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    low, high = one["interval"]
    sides = (one["shadow_side"], one["live_side"])
    return (
        f"[bold]{escaped(one['shadow'])}[/]",
        escaped(one["live"]),
        str(one["requests"]),
        str(one["rows"]),
        f"{one['agreement']:.2%}" if one["rows"] else "-",
        f"{low:.2%} - {high:.2%}" if one["rows"] else "-",
        *(_beside(side["latency_ms"].get(at) for side in sides) for at in ("p50", "p95", "p99")),
        " / ".join(str(side["failed"]) for side in sides),
    )


def _beside(times_ms: Iterable[float | None]) -> str:
    return " / ".join("-" if one is None else f"{one:.3g}" for one in times_ms)


def _told(one: dict[str, Any], examples: bool) -> Iterator[str]:
    yield f"{one['shadow']} (begun {ago(one['since'])}): {one['says']}"
    for output in one["outputs"]:
        if output["agreed"] < output["rows"]:
            yield f"  {_output(output)}"
    for words, counts in (("not compared", one["results"]), ("not asked", one["dropped"])):
        told = ", ".join(f"{count} ({WORDS[why]})" for why, count in counts.items() if why in WORDS)
        if told:
            yield f"  {words}: {told}"
    for example in one["examples"] if examples else ():
        yield f"  {example['request']}: {example['said']}"
        yield f"    {one['live']}: {example['live']}"
        yield f"    {one['shadow']}: {example['shadow']}"


def _output(output: dict[str, Any]) -> str:
    said = f"{output['name']}: {output['agreed']} of {output['rows']} rows agree"
    if output["probabilities"]:
        said += f", probabilities are up to {output['probability_most']:.3g} apart"
    if output["numbers"]:
        said += f", {output['apart_mean']:.3g} apart in the mean and {output['apart_most']:.3g} at most"
    changes = [f"{change} {count}" for change, count in output["changes"].items()]
    return "; ".join([said, *changes[:MOST_CHANGES]])


def _silent(found: dict[str, Any]) -> Iterator[str]:
    """Yield what is said where there is nothing to show."""
    if not found["wanted"] and not found["shadows"]:
        yield f"The route of {found['model']} has no shadow; see `prism route {found['model']}`."
    elif not found["shadows"]:
        yield f"Nothing has been compared yet with {', '.join(found['wanted'])}."
