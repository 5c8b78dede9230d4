"""The tables of the simulations as Markdown. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scipy.stats import beta

from bench.experiments.runs import Sum
from bench.report import grid

NEVER = "not within {:,}"


def alike(sums: Sequence[Sum]) -> str:
    """Return how often each guard acted where versions are alike."""
    guards = list(dict.fromkeys(one.guard for one in sums))
    head = ["both versions alike", "runs", "requests", *(f"acted, alpha {guard}" for guard in guards)]
    rows = []
    for traffic in dict.fromkeys(one.traffic for one in sums):
        mine = [one for one in sums if one.traffic == traffic]
        acted = [f"{one.acted} ({one.acted / one.runs:.1%}, at most {upper(one):.1%})" for one in mine]
        rows.append([traffic.name, f"{mine[0].runs:,}", f"{traffic.n:,}", *acted])
    return grid(head, rows)


def upper(one: Sum) -> float:
    """Return what the share of runs is below with 97.5 % (Clopper and Pearson)."""
    return float(beta.ppf(0.975, one.acted + 1, one.runs - one.acted)) if one.acted < one.runs else 1.0


def faults(found: Mapping[str, Mapping[str, Sum]]) -> str:
    """Return after how many requests each fault is found; by fault, then by how traffic is parted."""
    parts = list(next(iter(found.values())))
    rows = [[says, *(after(by_part[part]) for part in parts)] for says, by_part in found.items()]
    return grid(["canary", *parts], rows)


def after(one: Sum) -> str:
    """Return the median and the slowest tenth, counted from the fault on."""
    begun = one.traffic.after
    if one.median is None:
        return NEVER.format(one.traffic.n - begun)
    median = f"{one.median - begun:,.0f}"
    slow = f"{one.slowest_tenth - begun:,.0f}" if one.slowest_tenth is not None else "more"
    return f"{median} ({slow})"


def rivals(widths: Sequence[Sequence[str]], soon: Sequence[Sequence[str]], ways: Sequence[str]) -> str:
    """Return how wide and how soon each way is."""
    wide = grid(["errors, requests of each version", "ours", "two intervals", "one look, planned"], widths)
    return f"{wide}\n\n{grid(['errors', 'traffic', *ways], soon)}"
