"""The tables of the protocols as Markdown. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from bench.protocols.parts import Row
from bench.report import grid
from bench.results import middle

HEAD = ["server", "asked in", "tensor", "connections", "req/s", "p50 / p99 ms", "CPU us a request"]


def table(rows: Sequence[Row]) -> str:
    """Return one line for all rounds of a load."""
    cells = dict.fromkeys((row.server, row.form, row.model, row.connections) for row in rows)
    return grid(HEAD, [line(cell, rows) for cell in cells])


def line(cell: tuple[str, str, str, int], rows: Sequence[Row]) -> list[str]:
    """Return the medians of a cell."""
    mine = [row for row in rows if (row.server, row.form, row.model, row.connections) == cell]

    def of(field: str) -> float:
        return middle(getattr(row, field) for row in mine) or 0.0

    times = f"{of('p50_ms'):.2f} / {of('p99_ms'):.2f}"
    return [*map(str, cell), f"{of('rps'):,.0f}", times, f"{of('cpu_us'):,.0f}"]
