"""What a model answered, as people read it: the prediction, probabilities as bars, all other outputs.

Pure. The answer's JSON was made by the model's process; nothing is believed about its form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs
import msgspec

from prism_core.types import Signature, TensorSpec

# As many classes are shown at once, the likeliest first.
BARS = 12
# Longer values are cut: the whole answer is what programs get.
MAX_TEXT = 600
# A deep-shaped answer is not walked any further.
MAX_VALUES = 64

_BESIDE = frozenset({"model", "version", "predictions", "classes", "warnings", "outputs"})


@attrs.frozen
class Bar:
    """The probability of a class, 0 to 1."""

    label: str
    share: float

    @property
    def percent(self) -> str:
        """In percent; small and nearly certain ones are told apart from 0 and 100."""
        if 0 < self.share < 0.001:
            return "< 0.1 %"
        if 0.999 < self.share < 1:
            return "> 99.9 %"
        return f"{self.share * 100:.1f} %"

    @property
    def width(self) -> str:
        """The length of its bar, in percent."""
        return f"{self.share * 100:.2f}"


@attrs.frozen
class Answer:
    """An answer for one row.

    ``whole`` is the prediction with all its digits, where ``text`` has fewer. ``others`` are
    further outputs, by name.
    """

    text: str
    whole: str = ""
    bars: tuple[Bar, ...] = ()
    more: tuple[Bar, ...] = ()
    others: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()


def wanted(signature: Signature) -> tuple[str, ...]:
    """Return the outputs that the page asks for: the model's own and its probabilities."""
    extra = tuple(spec.name for spec in signature.outputs if _has_one_a_class(spec, signature))
    computed = signature.computed
    return computed + tuple(name for name in extra if name not in computed)


def answer_of(document: Any, signature: Signature) -> Answer:
    """Return what the JSON ``document`` says of its first row."""
    if not isinstance(document, Mapping):
        return Answer(_text(document))
    outputs = {name: value for name, value in document.items() if name not in _BESIDE}
    outputs |= document["outputs"] if isinstance(document.get("outputs"), Mapping) else {}
    outputs.pop(signature.predictions, None)
    rows = {name: _first(value, signature) for name, value in outputs.items()}
    bars: tuple[Bar, ...] = ()
    for name, row in list(rows.items()):
        if not bars and (bars := _bars(name, row, signature)):
            del rows[name]
    predicted = _first(document.get("predictions"), signature)
    if not bars and (bars := _bars(signature.predictions, predicted, signature)):
        predicted = bars[0].label
    shown = _text(predicted)
    whole = _exact(predicted)
    others = tuple((name, _text(row)) for name, row in rows.items())
    warnings = tuple(str(one)[:MAX_TEXT] for one in _list(document.get("warnings"))[:5])
    return Answer(shown, whole if whole != shown else "", bars[:BARS], bars[BARS:], others, warnings)


def _has_one_a_class(spec: TensorSpec, signature: Signature) -> bool:
    if spec.name == "probabilities":
        return True
    classes = len(signature.classes)
    floats = spec.datatype in ("FP32", "FP64", "FP16")
    return (
        bool(classes) and floats and len(spec.shape) == 2 and spec.shape[1] == classes and "prob" in spec.name
    )


def _bars(name: str, row: Any, signature: Signature) -> tuple[Bar, ...]:
    """Return a bar for each class, the likeliest first; () where these are no probabilities."""
    if isinstance(row, Mapping):
        shares = list(row.items())
    elif isinstance(row, list) and len(row) == len(signature.classes) > 0:
        shares = list(zip(signature.classes, row, strict=True))
    else:
        return ()
    values = [share for _, share in shares]
    if not all(_is_number(share) and -1e-6 <= share <= 1 + 1e-6 for share in values):
        return ()
    if "prob" not in name and abs(sum(values) - 1) > 1e-3:
        return ()
    bars = [Bar(_text(label), min(max(float(share), 0.0), 1.0)) for label, share in shares]
    return tuple(sorted(bars, key=lambda bar: -bar.share))


def _first(value: Any, signature: Signature) -> Any:
    return value[0] if signature.batch_axis and isinstance(value, list) and value else value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    """Return a value for people: numbers in six digits, lists as JSON, all of it bounded."""
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}…"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.6g}"
    if isinstance(value, list) and len(value) == 1:
        return _text(value[0])
    return _cut(value)


def _exact(value: Any) -> str:
    """Return a number with all its digits, "" for all else."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return repr(value) if isinstance(value, float) else ""


def _cut(value: Any) -> str:
    if isinstance(value, list) and len(value) > MAX_VALUES:
        return f"{_cut(value[:MAX_VALUES])[:-1]}, … ({len(value)} in all)]"
    text = msgspec.json.format(msgspec.json.encode(value), indent=0).decode()
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
