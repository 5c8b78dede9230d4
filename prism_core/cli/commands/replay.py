"""``prism replay``: compare two versions on recorded traffic, with its original timing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rich_click as click
from click.exceptions import Exit

from prism_core.cli import EXIT_FAILED
from prism_core.cli.client import admin, model_path, parse_reference, problem_error
from prism_core.cli.durations import Duration
from prism_core.cli.models import complete_models
from prism_core.cli.options import Common, command
from prism_core.cli.output import write_json
from prism_core.cli.progress import spinning
from prism_core.cli.replayed import junit_of, write_outcome
from prism_core.cli.spans import ALL, Span
from prism_core.errors import PrismError

MAX = "max"

EXAMPLES = """
prism replay churn/3 churn/4 --traffic last:24h --speed 24
prism replay churn@champion churn/4 --limit 10000 --max-disagreement 1% --max-slowdown 10% --max-errors 0
prism replay churn/3 churn/3          # does it say the same twice?
"""


class Share(click.ParamType[float]):
    """A share such as 1%."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return it as a number: 0.01 for 1%."""
        if isinstance(value, float):
            return value
        try:
            return (
                float(value.removesuffix("%")) / 100 if value.endswith("%") else self._fail(value, param, ctx)
            )
        except ValueError:
            return self._fail(value, param, ctx)

    def _fail(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> float:
        self.fail(f"expected a share such as 1% or 0.5%, got {value!r}.", param, ctx)


class Speed(click.ParamType[float]):
    """How fast: a number, or "max"."""

    name = "speed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number, 0 for "max"."""
        if isinstance(value, float):
            return value
        try:
            speed = 0.0 if value == MAX else float(value.removesuffix("x"))
        except ValueError:
            speed = -1.0
        if speed < 0 or (value != MAX and not speed):
            self.fail(f"expected a number such as 2 or 0.5, or {MAX}, got {value!r}.", param, ctx)
        return speed


@command("replay", examples=EXAMPLES)
@click.argument("baseline", shell_complete=complete_models)
@click.argument("candidate", shell_complete=complete_models)
@click.option("--traffic", type=Span(), default=ALL, help="last:24h, or FROM..TO.  [default: all]")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="The first N requests of it.")
@click.option("--sample", type=Share(), metavar="P%", help="So many in a hundred of its requests.")
@click.option(
    "--speed", type=Speed(), default="1", metavar="X", help="So many times as fast; max: as answers come."
)
@click.option("--max-gap", "max_gap_s", type=Duration(), help="Cut longer silences to this.")
@click.option(
    "--tolerance", type=Share(), metavar="P%", help="Numbers agree that are so near.  [default: 1%]"
)
@click.option("--max-disagreement", type=Share(), metavar="P%", help="Fail if more of the rows differ.")
@click.option(
    "--max-slowdown", type=Share(), metavar="P%", help="Fail if the 95th percentile is that much slower."
)
@click.option(
    "--junit",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the bounds there as JUnit's XML, a test each.",
)
@click.option("--max-errors", type=click.IntRange(0), metavar="N", help="Fail if more requests fail anew.")
def replay(baseline: str, candidate: str, junit: Path | None, **options: Any) -> None:
    """Ask two versions again what was recorded of BASELINE's model, and tell how they differ.

    Both get each request at the moment at which it came, counted from the first, whether or not those
    before were answered. Exit code 1 says that CANDIDATE breaks one of the bounds that were given.
    """
    model, _, _ = parse_reference(baseline)
    wish = wish_of(baseline, candidate, **options)
    common = Common.of()
    with admin(common) as client, spinning(f"Replaying {model}", quiet=common.json) as tell:
        path = f"{model_path(model)}/replay"
        with client.stream("POST", path, json=wish) as response:
            verdict = _followed(response.iter_lines(), tell)
    if junit:
        junit.write_bytes(junit_of(verdict, wish["bounds"]))
    if common.json:
        write_json(verdict)
    else:
        write_outcome(verdict, bool(wish["bounds"]))
    if verdict["broken"]:
        raise Exit(EXIT_FAILED)


def wish_of(
    baseline: str,
    candidate: str,
    *,
    traffic: tuple[float | None, float | None],
    sample: float | None,
    tolerance: float | None,
    max_disagreement: float | None,
    max_slowdown: float | None,
    max_errors: int | None,
    **given: Any,
) -> dict[str, Any]:
    """Return the request of a replay, with nothing in it that was not said."""
    bounds = {
        "max_disagreement": max_disagreement,
        "max_slowdown": max_slowdown,
        "max_errors": max_errors,
    }
    since, until = traffic
    wish = {
        "baseline": baseline,
        "candidate": candidate,
        "since": since,
        "until": until,
        "percent": sample * 100 if sample is not None else None,
        "tolerance_percent": tolerance * 100 if tolerance is not None else None,
        **given,
    }
    said = {name: value for name, value in wish.items() if value is not None}
    return {**said, "bounds": {name: value for name, value in bounds.items() if value is not None}}


def _followed(lines: Iterator[str], tell: Any) -> dict[str, Any]:
    for line in lines:
        if not line.strip():
            continue
        event = json.loads(line)
        if event["event"] == "error":
            raise problem_error(event["error"])
        if event["event"] == "done":
            return {"outcome": event["outcome"], "broken": event["broken"]}
        tell(
            f"{event['sent']:,} of {event['of']:,} requests sent, "
            f"{event['differing']:,} of {event['rows']:,} rows differ"
        )
    raise PrismError(
        "The server ended the replay without a result.", hint="It was stopped, or its log says why."
    )
