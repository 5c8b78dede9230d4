"""Throughput and latency over connections as SVG, readable on light and dark pages. No I/O.

A small writer of its own: four panels, lines with their names at the end, nothing to install.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import attrs

from bench.report import TITLES
from bench.results import Document

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 60, 104, 30, 30
LABEL_GAP = 12.5
# Told apart on both backgrounds; PRISM alone is strong.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56a0d3", "#8a6fd1", "#7f7f7f")
STYLE = """
text { font: 11px system-ui, sans-serif; fill: #333 }
.title { font-weight: 600; font-size: 12px }
.grid { stroke: #888; stroke-opacity: 0.3 }
.line { fill: none; stroke-width: 1.5 }
.prism { stroke: #c2185b; stroke-width: 3 } .ceiling { stroke: #888; stroke-dasharray: 5 3 }
.of-prism { fill: #c2185b; font-weight: 700 } .of-ceiling { fill: #888 }
@media (prefers-color-scheme: dark) {
  text { fill: #ccc } .prism { stroke: #ff5c93 } .of-prism { fill: #ff5c93 }
}
"""


@attrs.frozen
class Scale:
    """A logarithmic axis from values to pixels, from whole decade to whole decade."""

    low: int
    high: int

    @classmethod
    def over(cls, values: Sequence[float]) -> Scale:
        """Return the axis that has room for all values."""
        low = math.floor(math.log10(min(values)))
        return cls(low, max(low + 1, math.ceil(math.log10(max(values)))))

    def y(self, value: float) -> float:
        """Return the height of a value, from the top."""
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)

    def ticks(self) -> list[float]:
        """Return the decades."""
        return [10.0**power for power in range(self.low, self.high + 1)]


def plot(document: Document, field: str, title: str) -> str:
    """Return the SVG of a field: a panel a model."""
    servers = [s for s in document.servers() if s not in ("bare ASGI", "PRISM, cached")]
    lines = {model: lines_of(document, model, field, servers) for model in document.models()}
    values = [value for of in lines.values() for line in of.values() for _, value in line]
    scale = Scale.over(values)
    panels = [
        panel(TITLES.get(model, model), line, scale, document.connections(), styles(servers))
        for model, line in lines.items()
    ]
    return page(panels, title)


def lines_of(
    document: Document, model: str, field: str, servers: Sequence[str]
) -> dict[str, list[tuple[int, float]]]:
    """Return the points of each server that has some: connections and the median."""
    found = {
        server: [
            (count, value)
            for count in document.connections()
            if (value := document.median(model, server, count, field))
        ]
        for server in servers
    }
    return {server: points for server, points in found.items() if points}


def styles(servers: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return the attributes of each server's line and label."""
    found = {}
    colours = iter(COLOURS * 2)
    for server in servers:
        if server in ("PRISM", "ceiling"):
            found[server] = (f'class="line {server.lower()}"', f'class="of-{server.lower()}"')
        else:
            colour = next(colours)
            found[server] = (f'class="line" stroke="{colour}"', f'style="fill:{colour}"')
    return found


def panel(
    title: str,
    lines: Mapping[str, Sequence[tuple[int, float]]],
    scale: Scale,
    connections: Sequence[int],
    style: Mapping[str, tuple[str, str]],
) -> str:
    """Return one model's panel."""
    at = {count: x_of(number, len(connections)) for number, count in enumerate(connections)}
    out = [f'<text class="title" x="{LEFT}" y="16">{escape(title)}</text>', *axes(scale, at)]
    for server, points in lines.items():
        path = " ".join(f"{at[count]:.1f},{scale.y(value):.1f}" for count, value in points)
        out.append(f'<polyline {style[server][0]} points="{path}"/>')
    ends = spread({server: scale.y(points[-1][1]) for server, points in lines.items()})
    for server, y in ends.items():
        x = WIDTH - RIGHT + 8
        out.append(f'<text {style[server][1]} x="{x}" y="{y + 4:.1f}">{escape(server)}</text>')
    return "\n".join(out)


def x_of(number: int, of: int) -> float:
    """Return where the connections stand: evenly, they are 1, 16 and 64."""
    return LEFT + (WIDTH - LEFT - RIGHT) * (number / max(1, of - 1))


def axes(scale: Scale, at: Mapping[int, float]) -> list[str]:
    """Return grid lines and their labels."""
    out = []
    for value in scale.ticks():
        y = scale.y(value)
        out.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        out.append(f'<text text-anchor="end" x="{LEFT - 6}" y="{y + 4:.1f}">{value:,g}</text>')
    for count, x in at.items():
        name = f"c={count}"
        out.append(f'<text text-anchor="middle" x="{x:.1f}" y="{HEIGHT - 10}">{name}</text>')
    return out


def spread(wanted: Mapping[str, float]) -> dict[str, float]:
    """Return heights near the wanted ones that are far enough apart to be read, inside the panel."""
    order = sorted(wanted, key=lambda name: wanted[name])
    found: dict[str, float] = {}
    lowest = -math.inf
    for name in order:
        found[name] = lowest = max(wanted[name], lowest + LABEL_GAP)
    ceiling = HEIGHT - BOTTOM
    for name in reversed(order):
        found[name] = ceiling = min(found[name], ceiling)
        ceiling -= LABEL_GAP
    return found


def page(panels: Sequence[str], title: str) -> str:
    """Return the SVG with its panels two by two."""
    rows = math.ceil(len(panels) / 2)
    width, height = WIDTH * min(2, len(panels)), HEIGHT * rows + 24
    placed = [
        f'<g transform="translate({WIDTH * (n % 2)} {24 + HEIGHT * (n // 2)})">\n{of}\n</g>'
        for n, of in enumerate(panels)
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
    name = f'<title>{escape(title)}</title>\n<text class="title" x="{LEFT}" y="16">{escape(title)}</text>'
    return "\n".join([head, f"<style>{STYLE}</style>", name, *placed, "</svg>\n"])
