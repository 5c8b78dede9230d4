"""What stands out of an agreement, in plain words."""

from __future__ import annotations

from collections.abc import Iterator

from prism_core.traffic.comparing.agreement import Agreement, Side
from prism_core.traffic.comparing.difference import OutputDifference
from prism_core.traffic.comparing.distribution import Distribution

# What is seldom cannot stand out: shares differ by so much, times by this factor.
_SHARE = 0.01
_FACTOR = 1.25
# So many pairs are needed for the tail of their times.
_TIMED = 30

_WHYS = {
    "live_failed": "only {live} failed",
    "other_failed": "only {other} failed",
    "both_failed": "both failed",
    "media_types": "they answer in different media types",
    "outputs": "they have no output in common",
    "row_counts": "they answer with different numbers of rows",
    "unreadable": "an answer could not be read",
}


def differs_most(agreement: Agreement, live: str, other: str) -> str:
    """Return one sentence on what differs most, with the names of both sides."""
    if not agreement.pairs:
        return "Nothing has been compared yet."
    return next(_found(agreement, live, other), f"{other} answers like {live}.")


def _found(agreement: Agreement, live: str, other: str) -> Iterator[str]:
    yield from _failures(agreement, live, other)
    yield from _uncompared(agreement, live, other)
    outputs = sorted(agreement.outputs.items(), key=lambda item: item[1].agreed - item[1].rows)
    for name, output in outputs:
        if output.agreed < output.rows:
            yield from _output(name, output, live, other)
    yield from _slower(agreement, live, other)


def _failures(agreement: Agreement, live: str, other: str) -> Iterator[str]:
    ours, theirs = agreement.live.failed / agreement.pairs, agreement.other.failed / agreement.pairs
    if abs(theirs - ours) > _SHARE:
        side = agreement.other if theirs > ours else agreement.live
        worst = max((code for code in side.codes if code != "ok"), key=lambda code: side.codes[code])
        yield f"{other} fails for {theirs:.1%} of the requests, {live} for {ours:.1%}, mostly with {worst}."


def _uncompared(agreement: Agreement, live: str, other: str) -> Iterator[str]:
    why = max(agreement.whys, key=lambda one: agreement.whys[one], default="")
    if why and agreement.whys[why] > agreement.pairs / 2:
        told = _WHYS.get(why, why).format(live=live, other=other)
        share = agreement.whys[why] / agreement.pairs
        yield f"Of {share:.0%} of the requests nothing can be compared: {told}."


def _output(name: str, output: OutputDifference, live: str, other: str) -> Iterator[str]:
    rows = f"{output.rows - output.agreed} of {output.rows} rows of {name} differ"
    if output.probabilities:
        most = output.probability_most
        yield f"{rows}: another class is the likeliest; probabilities are up to {most:.3g} apart."
    elif output.numbers:
        mean = output.apart_sum / output.numbers
        yield (
            f"{rows}: they are {mean:.3g} apart in the mean, {output.apart_most:.3g} at most; "
            f"the mean of {other} is {output.other.mean:.4g}, of {live} {output.live.mean:.4g}."
        )
    else:
        yield f"{rows}{_change(output.changes, live, other)}."


def _change(changes: Distribution, live: str, other: str) -> str:
    """Return what most often is instead of what, in words."""
    if not changes.classes:
        return ""
    most = max(changes.classes, key=lambda one: (changes.classes[one], one))
    says, _, instead = most.partition(" -> ")
    return f"; in {changes.classes[most]} of them {other} says {instead} where {live} says {says}"


def _slower(agreement: Agreement, live: str, other: str) -> Iterator[str]:
    ours, theirs = _tail(agreement.live), _tail(agreement.other)
    if not ours or not theirs:
        return
    word = "slower" if theirs > _FACTOR * ours else "quicker" if ours > _FACTOR * theirs else ""
    if word:
        theirs_ms, ours_ms = theirs * 1000, ours * 1000
        yield (
            f"{other} is {word}: 95 % of its answers take up to {theirs_ms:.3g} ms, "
            f"of {live} {ours_ms:.3g} ms."
        )


def _tail(side: Side) -> float:
    return side.latency.quantile(0.95) if side.latency.count >= _TIMED else 0.0
