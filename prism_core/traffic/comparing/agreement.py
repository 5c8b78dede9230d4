"""What many pairs of answers add up to. Summaries of parts add up to the summary of all."""

from __future__ import annotations

import math
from hashlib import blake2b

import msgspec

from prism_core.traffic.comparing.answers import Answer, plain
from prism_core.traffic.comparing.difference import Difference, OutputDifference
from prism_core.traffic.sketch import Sketch

MOST_EXAMPLES = 10
MOST_EXAMPLE_BYTES = 400
MOST_OUTPUTS = 16
MOST_CODES = 32
# The share of a normal distribution that is within so many deviations: 95 %.
_DEVIATIONS = 1.96


class Side(msgspec.Struct):
    """One side of all pairs: answers and errors by code, and how long the answers took, in seconds."""

    codes: dict[str, int] = {}
    latency: Sketch = msgspec.field(default_factory=Sketch)

    @property
    def failed(self) -> int:
        """How many errors there were."""
        return sum(count for code, count in self.codes.items() if code != "ok")

    def add(self, answer: Answer) -> None:
        """Count an answer."""
        self._count(answer.code, 1)
        if answer.code == "ok" and answer.latency_s >= 0:
            self.latency.add(answer.latency_s)

    def merge(self, more: Side) -> None:
        """Count all that ``more`` has counted."""
        for code, count in more.codes.items():
            self._count(code, count)
        self.latency.merge(more.latency)

    def _count(self, code: str, count: int) -> None:
        known = code if code in self.codes or len(self.codes) < MOST_CODES else "other"
        self.codes[known] = self.codes.get(known, 0) + count


class Example(msgspec.Struct, frozen=True):
    """A pair that does not agree: its request, how much of it, where, and both answers, cut off."""

    request: str
    disagreement: float
    said: str
    live: str
    other: str

    @property
    def rank(self) -> tuple[float, str]:
        """The largest disagreements come first; which of equal ones are kept is as good as drawn."""
        return (-self.disagreement, blake2b(self.request.encode(), digest_size=8).hexdigest())


class Agreement(msgspec.Struct):
    """The running summary of many pairs.

    Parameters
    ----------
    pairs
        How many there were.
    compared, agreeing
        Pairs of which rows were compared, and those of them in which all rows agree.
    rows, agreed
        Rows that were compared, and those of them that agree.
    squares
        Sums over the pairs of rows², rows x agreed and agreed²: how rows of one request hang together.
    whys
        Pairs of which nothing was compared, by why.
    live, other
        Both sides.
    outputs
        By name.
    examples
        The largest disagreements.
    """

    pairs: int = 0
    compared: int = 0
    agreeing: int = 0
    rows: int = 0
    agreed: int = 0
    squares: tuple[int, int, int] = (0, 0, 0)
    whys: dict[str, int] = {}
    live: Side = msgspec.field(default_factory=Side)
    other: Side = msgspec.field(default_factory=Side)
    outputs: dict[str, OutputDifference] = {}
    examples: list[Example] = []

    @property
    def share(self) -> float:
        """The rows that agree, of those that were compared; 1 where none was."""
        return self.agreed / self.rows if self.rows else 1.0

    @property
    def interval(self) -> tuple[float, float]:
        """Where the share of all traffic lies, with a confidence of 95 %.

        Wilson's interval (JASA 22:158, 1927). Rows of one request are alike, so they count for as many
        rows of their own as have the variance that was seen between requests.
        """
        if not self.rows:
            return 0.0, 1.0
        share, count, square = self.share, self.independent_rows, _DEVIATIONS**2
        middle = (share + square / (2 * count)) / (1 + square / count)
        half = _DEVIATIONS / (1 + square / count)
        half *= math.sqrt(share * (1 - share) / count + square / (4 * count * count))
        return max(0.0, middle - half), min(1.0, middle + half)

    @property
    def independent_rows(self) -> float:
        """How many independent rows say as much as these: rows of one request are alike."""
        share, (both, crossed, same) = self.share, self.squares
        spread = (same - 2 * share * crossed + share * share * both) / self.rows**2
        if 0 < share < 1 and spread > 0:
            return min(float(self.rows), max(1.0, share * (1 - share) / spread))
        return float(self.compared)

    def add(self, request: str, live: Answer, other: Answer, difference: Difference) -> None:
        """Count a pair."""
        self.pairs += 1
        self.live.add(live)
        self.other.add(other)
        if difference.why:
            self.whys[difference.why] = self.whys.get(difference.why, 0) + 1
        self._add_rows(difference.rows, difference.agreed)
        self._merge_outputs(difference.outputs)
        if difference.disagreement:
            texts = (_shown(live), _shown(other))
            self._keep([Example(request, difference.disagreement, difference.said[:200], *texts)])

    def merge(self, more: Agreement) -> None:
        """Count all that ``more`` has counted."""
        self.pairs += more.pairs
        self.compared += more.compared
        self.agreeing += more.agreeing
        self.rows += more.rows
        self.agreed += more.agreed
        mine, theirs = self.squares, more.squares
        self.squares = (mine[0] + theirs[0], mine[1] + theirs[1], mine[2] + theirs[2])
        for why, count in more.whys.items():
            self.whys[why] = self.whys.get(why, 0) + count
        self.live.merge(more.live)
        self.other.merge(more.other)
        self._merge_outputs(more.outputs)
        self._keep(more.examples)

    def _add_rows(self, rows: int, agreed: int) -> None:
        if rows:
            self.compared += 1
            self.agreeing += rows == agreed
        self.rows += rows
        self.agreed += agreed
        both, crossed, same = self.squares
        self.squares = (both + rows * rows, crossed + rows * agreed, same + agreed * agreed)

    def _merge_outputs(self, outputs: dict[str, OutputDifference]) -> None:
        for name, more in outputs.items():
            mine = self.outputs.get(name)
            if mine is None:
                mine = self.outputs[name] = OutputDifference()
            mine.merge(more)
        # Those that come first by name are kept: such a one has been kept wherever it was seen.
        for name in sorted(self.outputs)[MOST_OUTPUTS:]:
            del self.outputs[name]

    def _keep(self, examples: list[Example]) -> None:
        if examples:
            self.examples = sorted([*self.examples, *examples], key=lambda one: one.rank)[:MOST_EXAMPLES]


def _shown(answer: Answer) -> str:
    if answer.code != "ok":
        return answer.code
    body = bytes(memoryview(answer.body)[: MOST_EXAMPLE_BYTES + 1])
    try:
        text = body[:MOST_EXAMPLE_BYTES].decode()
    except UnicodeDecodeError:
        return f"{len(answer.body)} bytes of {plain(answer.media_type)}"
    return f"{text}..." if len(body) > MOST_EXAMPLE_BYTES else text
