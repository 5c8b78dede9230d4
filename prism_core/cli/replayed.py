"""The result of a replay for people: what differs, where, how quick both were, and whether that may be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from xml.etree import ElementTree

import rich_click as click

from prism_core.cli.output import escaped, warn, write_table
from prism_core.traffic.replaying.slices import Slice, percent

# From here on a sender that is late has made the times of both worse.
LATE_MS = 20.0
WHYS = {
    "busy": "comparing did not keep up",
    "fault": "comparing failed; the server's log says why",
    "media_types": "they answer in different media types",
    "outputs": "they have no output in common",
    "row_counts": "they answer with different numbers of rows",
    "unreadable": "an answer could not be read",
}


def write_outcome(verdict: Mapping[str, Any], bound: bool) -> None:
    """Print the result; ``bound``: whether there was anything that it could break."""
    outcome = verdict["outcome"]
    for line in _agreement(outcome):
        click.echo(line)
    _write_slices(outcome)
    _write_examples(outcome)
    click.echo()
    write_table(("", *_names(outcome), "CHANGE"), [*_times(outcome), *_errors(outcome)])
    for line in _doubts(outcome):
        warn(line)
    for line in verdict["broken"]:
        click.secho(f"Broken: {line}.", fg="red")
    if bound and not verdict["broken"]:
        click.secho("Within all bounds.", fg="green")


def junit_of(verdict: Mapping[str, Any], bounds: Iterable[str]) -> bytes:
    """Return the bounds as JUnit's XML: each is a test, which fails where it is broken."""
    broken = dict(line.split(": ", 1) for line in verdict["broken"])
    names = [bound.replace("_", "-") for bound in bounds]
    title = "replay {} {}".format(*_names(verdict["outcome"]))
    counts = {"tests": str(len(names)), "failures": str(len(broken))}
    suite = ElementTree.Element("testsuite", {"name": title, **counts})
    for name in names:
        test = ElementTree.SubElement(suite, "testcase", {"classname": title, "name": name})
        if name in broken:
            ElementTree.SubElement(test, "failure", {"message": broken[name]})
    found: bytes = ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)
    return found


def _names(outcome: Mapping[str, Any]) -> tuple[str, str]:
    return outcome["baseline"], outcome["candidate"]


def _agreement(outcome: Mapping[str, Any]) -> Iterator[str]:
    rows, differ = outcome["compared_rows"], outcome["differing_rows"]
    requests = f"{outcome['requests']:,} requests"
    if not rows:
        yield f"{requests}; no rows could be compared."
        return
    low, high = outcome["interval"]
    yield (
        f"{requests}: {percent(differ / rows)} of the rows differ ({differ:,} of {rows:,}; "
        f"{percent(low)} to {percent(high)} of such traffic, with a confidence of 95 %)."
    )
    for output in outcome["outputs"]:
        if output["largest_distance"]:
            mean = output["mean_distance"]
            told = f"{mean:.3g} apart in the mean, " if mean is not None else ""
            yield f"  {output['name'] or 'answer'}: {told}{output['largest_distance']:.3g} at most"


def _write_slices(outcome: Mapping[str, Any]) -> None:
    if outcome["slices"]:
        click.echo("\nWhere they differ most:")
    for one in outcome["slices"]:
        found = Slice(**one)
        click.echo(f"  {found.words}")
        if found.within:
            click.echo(f"    {found.within}")


def _write_examples(outcome: Mapping[str, Any]) -> None:
    if outcome["examples"]:
        click.echo("\nThe largest differences:")
    for one in outcome["examples"][:3]:
        row = "  ".join(f"{name}={value}" for name, value in (one["row"] or {}).items())
        click.echo(f"  {one['said']}  [{row or one['request']}]")


def _times(outcome: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    times = outcome["times"]
    for name, ours in times["baseline_ms"].items():
        slower = times["slowdown"][name]
        between = f"{_change(slower['low'])} to {_change(slower['high'])}"
        change = f"{_change(slower['change'])} ({between})"
        yield name, _ms(ours), _ms(times["candidate_ms"][name]), change


def _errors(outcome: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    ours, theirs = outcome["baseline_errors"], outcome["candidate_errors"]
    for code in sorted({*ours, *theirs}):
        yield escaped(code), f"{ours.get(code, 0):,}", f"{theirs.get(code, 0):,}", ""
    if ours or theirs:
        yield "failed anew", "", f"{outcome['new_errors']:,}", ""


def _doubts(outcome: Mapping[str, Any]) -> Iterator[str]:
    pace = outcome["pace"]
    late = pace["late_ms"].get("p99", pace["latest_ms"])
    if not pace["open_loop"]:
        yield "It waited for answers (--speed max): these are not the times that callers would see."
    elif late > LATE_MS:
        yield (
            f"The sender itself was late, {_ms(late)} for one in a hundred: this machine does not keep the "
            "pace, and both versions are quicker than told."
        )
    for why, number in outcome["uncompared"].items():
        yield f"{number:,} requests were not compared: {WHYS.get(why, why)}."
    if outcome["damaged"]:
        yield f"{outcome['damaged']:,} pieces of the recording could not be read."


def _change(share: float) -> str:
    return f"{round(share, 2) + 0.0:+.0%}"  # a zero has a sign of its own


def _ms(value: float) -> str:
    return f"{value:.3g} ms"
