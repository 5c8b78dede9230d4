"""What is known of a model's shadows, as it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import attrs

from prism_core.gateway.registry import Model
from prism_core.gateway.traffic.leads import leads
from prism_core.gateway.traffic.routes import LiveLine
from prism_core.gateway.traffic.shadows.agreements import Agreements, Kept, results
from prism_core.gateway.traffic.shadows.questions import Pair
from prism_core.traffic.comparing import Agreement
from prism_core.traffic.comparing.agreement import Example, Side
from prism_core.traffic.comparing.difference import OutputDifference
from prism_core.traffic.comparing.distribution import Distribution
from prism_core.traffic.comparing.wording import differs_most

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@attrs.frozen
class SideInfo:
    """One side: how many errors by code, and how long answers took, in milliseconds."""

    failed: int
    errors: dict[str, int]
    latency_ms: dict[str, float]


@attrs.frozen
class ValuesInfo:
    """The values of one side of an output: classes by their counts, numbers in summary."""

    classes: dict[str, int]
    other_classes: int
    missing: int
    numbers: int
    mean: float
    deviation: float
    quantiles: dict[str, float]


@attrs.frozen
class OutputInfo:
    """How an output differs; as `prism_core.traffic.comparing.difference.OutputDifference`."""

    name: str
    rows: int
    agreed: int
    numbers: int
    apart_mean: float
    apart_most: float
    probabilities: int
    likeliest: int
    probability_most: float
    live: ValuesInfo
    shadow: ValuesInfo
    changes: dict[str, int]


@attrs.frozen
class ExampleInfo:
    """A request that was answered differently, and both answers, cut off."""

    request: str
    disagreement: float
    said: str
    live: str
    shadow: str


@attrs.frozen
class ShadowInfo:
    """A shadow beside a version that answered.

    ``interval`` is where the agreement of all traffic lies, with a confidence of 95 %; ``results`` are
    requests by what came of the comparison, ``dropped`` those that the shadow was not asked.
    """

    live: str
    shadow: str
    since: float
    until: float
    requests: int
    rows: int
    agreed: int
    agreement: float
    interval: tuple[float, float]
    results: dict[str, int]
    dropped: dict[str, int]
    live_side: SideInfo
    shadow_side: SideInfo
    outputs: list[OutputInfo]
    says: str
    examples: list[ExampleInfo]


@attrs.frozen
class ShadowsInfo:
    """What is known of a model's shadows; ``wanted`` are the shadows of its route."""

    model: str
    wanted: list[str]
    shadows: list[ShadowInfo]


def shown(model: str, wanted: list[str], known: Mapping[Pair, Kept]) -> ShadowsInfo:
    """Return what is known as it is shown."""
    return ShadowsInfo(model, wanted, [_shadow(pair, kept) for pair, kept in known.items()])


def shadow_lines(agreements: Agreements) -> Callable[[Model], Iterator[LiveLine]]:
    """Return what tells how the shadows of a model's route agree; see `Routes.live`."""

    def lines(model: Model) -> Iterator[LiveLine]:
        known = agreements.of(model.name)
        for key, target, version in leads(agreements.registry, model):
            if key[0] == "shadow":
                for pair, kept in known.items():
                    if pair.shadow == version.name:
                        text = _line(pair, kept.agreement)
                        yield LiveLine("shadow", text, target.reference(model.name))

    return lines


def _line(pair: Pair, found: Agreement) -> str:
    if not found.rows:
        return f"nothing compared with {pair.live} yet"
    return f"{found.share:.1%} of {found.rows} rows agree with {pair.live}"


def _shadow(pair: Pair, kept: Kept) -> ShadowInfo:
    found = kept.agreement
    return ShadowInfo(
        pair.live,
        pair.shadow,
        kept.since,
        kept.until,
        found.pairs,
        found.rows,
        found.agreed,
        found.share,
        found.interval,
        results(found),
        kept.dropped,
        _side(found.live),
        _side(found.other),
        [_output(name, output) for name, output in found.outputs.items()],
        differs_most(found, pair.live, pair.shadow),
        [_example(one) for one in found.examples],
    )


def _side(side: Side) -> SideInfo:
    errors = {code: count for code, count in side.codes.items() if code != "ok"}
    latency = side.latency
    quantiles = {name: latency.quantile(at) * 1000 for name, at in QUANTILES.items()}
    return SideInfo(side.failed, errors, quantiles if latency.count else {})


def _output(name: str, output: OutputDifference) -> OutputInfo:
    return OutputInfo(
        name,
        output.rows,
        output.agreed,
        output.numbers,
        output.apart_sum / output.numbers if output.numbers else 0.0,
        output.apart_most,
        output.probabilities,
        output.likeliest,
        output.probability_most,
        _values(output.live),
        _values(output.other),
        dict(sorted(output.changes.classes.items(), key=lambda item: -item[1])),
    )


def _values(values: Distribution) -> ValuesInfo:
    quantiles = {name: values.sketch.quantile(at) for name, at in QUANTILES.items()}
    return ValuesInfo(
        values.classes,
        values.other_classes,
        values.missing,
        values.numbers,
        values.mean,
        values.deviation,
        quantiles if values.numbers else {},
    )


def _example(one: Example) -> ExampleInfo:
    return ExampleInfo(one.request, one.disagreement, one.said, one.live, one.other)
