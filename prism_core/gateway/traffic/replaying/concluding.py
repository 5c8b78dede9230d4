"""What all pairs of a replay add up to, as its outcome."""

from __future__ import annotations

from collections import Counter

from prism_core.gateway.traffic.replaying.judging import FAILED, Judging
from prism_core.gateway.traffic.replaying.sending import Sending
from prism_core.traffic.comparing.difference import OutputDifference
from prism_core.traffic.replaying.latency import quantiles_ms, times_of
from prism_core.traffic.replaying.outcome import Example, Outcome, OutputChange, Pace
from prism_core.traffic.replaying.slices import worst


def outcome_of(judging: Judging, sending: Sending, model: str, damaged: int) -> Outcome:
    """Return what a replay has found out. Takes a while: for a thread."""
    agreement = judging.agreement
    live, other = agreement.live.codes, agreement.other.codes
    low, high = agreement.interval
    uncompared = Counter(agreement.whys) + judging.uncompared
    independent = agreement.independent_rows / agreement.rows if agreement.rows else 1.0
    return Outcome(
        model=model,
        baseline=sending.baseline.reference,
        candidate=sending.candidate.reference,
        requests=sending.sent,
        since=sending.first.at if sending.first else 0.0,
        until=sending.last.at if sending.last else 0.0,
        compared_rows=agreement.rows,
        differing_rows=agreement.rows - agreement.agreed,
        interval=(round(1 - high, 6), round(1 - low, 6)),
        uncompared={why: number for why, number in uncompared.items() if why not in FAILED},
        baseline_errors=_errors(live),
        candidate_errors=_errors(other),
        new_errors=agreement.whys.get("other_failed", 0),
        outputs=[_output(name, one) for name, one in agreement.outputs.items()],
        slices=worst(judging.features, independent),
        examples=[
            Example(
                one.request, one.disagreement, one.said, one.live, one.other, judging.shown.get(one.request)
            )
            for one in agreement.examples
        ],
        times=times_of(judging.baseline_s, judging.candidate_s),
        pace=_pace(sending),
        damaged=damaged,
    )


def _errors(codes: dict[str, int]) -> dict[str, int]:
    return {code: number for code, number in codes.items() if code != "ok"}


def _output(name: str, found: OutputDifference) -> OutputChange:
    numbers = found.numbers or found.probabilities
    most = max(found.apart_most, found.probability_most) if numbers else None
    mean = found.apart_sum / found.numbers if found.numbers else None
    return OutputChange(name, found.rows, found.rows - found.agreed, mean, most)


def _pace(sending: Sending) -> Pace:
    late = sending.late_s
    return Pace(
        sending.pacing is not None,
        quantiles_ms(late),
        max(late, default=0.0) * 1000,
        sending.baseline.most_in_flight,
        sending.candidate.most_in_flight,
    )
