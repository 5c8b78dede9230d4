"""Choose the feed of a fitted estimator: what it takes, read from what it was fitted on."""

from __future__ import annotations

import logging
from typing import Any

import attrs

from prism_core.plugin import ModelLoadFailed, told_ranges
from prism_sklearn.columns import VECTORIZERS, Column, Survey, kind_of
from prism_sklearn.feeds import Dicts, Feed, Matrix, Table, dict_columns
from prism_sklearn.ranges import ranges_of
from prism_sklearn.walk import inner, needs_frame, parts

log = logging.getLogger("prism.sklearn")

_TARGET_ENCODERS = ("LabelEncoder", "LabelBinarizer")
_DATATYPES = ("BOOL", "BYTES", "FP64", "INT64")
_UNSERVABLE = {
    "FeatureHasher": "it takes rows of any names or lengths, which a signature cannot describe",
    "MultiLabelBinarizer": "it takes sets of labels of any length",
    "PatchExtractor": "it answers several patches for one image",
}


def feeds_of(estimator: Any, datatypes: dict[str, str]) -> list[Feed]:
    """Return the feeds that may be right for ``estimator``, the likeliest first.

    There are two where nothing tells whether a column is numbers or text, as with a function
    of the user's; a trial prediction decides.

    Parameters
    ----------
    estimator
        A fitted estimator.
    datatypes
        The owner's word on columns that the model does not tell.

    Raises
    ------
    ModelLoadFailed
        If the estimator takes what no request can hold.
    """
    _check_contents(estimator)
    first = first_step(estimator)
    kind = type(first).__name__
    if kind in VECTORIZERS:
        return [Matrix(None, datatype="BYTES", name="text")]
    if kind == "DictVectorizer":
        return [Dicts(dict_columns(first.feature_names_, first.separator))]
    if kind in _TARGET_ENCODERS:
        known = tuple(first.classes_.tolist())
        return [Matrix(None, datatype=kind_of(known), values=known)]
    if kind == "IsotonicRegression":
        return [Matrix(None, ranges=told_ranges(ranges_of(first, 1), 1))]
    if kind in _UNSERVABLE:
        raise ModelLoadFailed(
            f"{kind} cannot be served: {_UNSERVABLE[kind]}.",
            hint="Serve a model that takes rows of one shape.",
        )
    return _columns_feeds(estimator, datatypes)


def first_step(estimator: Any) -> Any:
    """Return the estimator that sees a row first: down pipelines, unions and meta-estimators."""
    while True:
        steps = getattr(estimator, "steps", None) or getattr(estimator, "transformer_list", None)
        if steps and isinstance(steps, list):
            working = [s for _, s, *_ in steps if s is not None and not isinstance(s, str)]
            if not working:
                return estimator
            estimator = working[0]
            continue
        members = inner(estimator)
        if not members or hasattr(estimator, "transformers_"):
            return estimator
        estimator = members[0]


def _check_contents(estimator: Any) -> None:
    """Refuse vectorizers, wherever they are, to which a text names a file: a caller could read any."""
    for part in parts(estimator):
        if type(part).__name__ in VECTORIZERS and part.input != "content":
            raise ModelLoadFailed(
                f"{type(part).__name__}(input={part.input!r}) reads files by their names.",
                hint="Fit it with input='content' on the texts themselves.",
            )


def _columns_feeds(estimator: Any, datatypes: dict[str, str]) -> list[Feed]:
    width = _find(estimator, "n_features_in_")
    names = tuple(str(name) for name in _list(_find(estimator, "feature_names_in_")))
    if width is None and not names:
        return [Matrix(-1)]
    named = bool(names)
    labels = names or tuple(f"x{i}" for i in range(int(width)))
    columns = tuple(Column(label) for label in labels)
    survey = Survey(columns)
    try:
        survey.run(estimator)
    except Exception:  # a foreign or future estimator: better a plain matrix than no model
        log.warning("The columns of %s cannot be read from it.", type(estimator).__name__, exc_info=True)
        columns = tuple(Column(label, used=True) for label in labels)
    _check_datatypes(datatypes, labels)
    for column in columns:
        column.datatype = datatypes.get(column.name, column.datatype)
    for place, found in ranges_of(estimator, len(columns)).items():
        column = columns[place]
        if column.datatype not in ("BOOL", "BYTES") and not column.categories:
            column.range = found
    open_ = any(column.used and not column.datatype for column in columns)
    guesses = ("FP64", "BYTES") if open_ else ("FP64",)
    return [_shape(estimator, _guess(columns, guess), named, survey.columnar) for guess in guesses]


def _check_datatypes(datatypes: dict[str, str], labels: tuple[str, ...]) -> None:
    for name, datatype in datatypes.items():
        if name not in labels or datatype not in _DATATYPES:
            raise ModelLoadFailed(
                f"The option datatypes says {name!r}: {datatype!r}; the columns are {', '.join(labels)}, "
                f"the datatypes {', '.join(_DATATYPES)}.",
                hint="Correct the option and upload again.",
            )


def _guess(columns: tuple[Column, ...], datatype: str) -> tuple[Column, ...]:
    return tuple(attrs.evolve(column, datatype=column.datatype or datatype) for column in columns)


def _shape(estimator: Any, columns: tuple[Column, ...], named: bool, columnar: bool) -> Feed:
    kinds = {column.datatype for column in columns if column.used}
    names = tuple(c.name for c in columns) if named else ()
    if kinds == {"BYTES"} and not named:
        return Matrix(
            len(columns), datatype="BYTES", nullable=all(c.nullable for c in columns), fill=_known(columns)
        )
    if "BYTES" in kinds or (named and columnar):
        return Table(columns, frame=named)
    nullable = all(c.nullable for c in columns if c.used)
    frame = named and needs_frame(estimator)
    return Matrix(len(columns), names, nullable, frame=frame, fill=_known(columns), ranges=_ranges(columns))


def _known(columns: tuple[Column, ...]) -> tuple[Any, ...]:
    return tuple(column.categories[0] if column.categories else None for column in columns)


def _ranges(columns: tuple[Column, ...]) -> tuple[tuple[float, float] | None, ...]:
    known = {place: column.range for place, column in enumerate(columns) if column.range}
    return told_ranges(known, len(columns))


def _find(estimator: Any, attribute: str) -> Any:
    """Return ``attribute`` of the estimator or of whatever inside sees the row first, or None."""
    while True:
        value = getattr(estimator, attribute, None)
        if value is not None:
            return value
        steps = getattr(estimator, "steps", None)
        members = (
            [s for _, s in steps if not isinstance(s, str)] if isinstance(steps, list) else inner(estimator)
        )
        if not members:
            return None
        estimator = members[0]


def _list(values: Any) -> list[Any]:
    return [] if values is None else list(values)
