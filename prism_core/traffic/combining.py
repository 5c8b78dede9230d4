"""Make one answer of the answers of an ensemble's members: numpy and nothing else.

What is said here of the members holds for each row by itself, and in whatever order they stand:

- NaN, and None among texts, means that a member has no answer for that row; the others answer it.
- Weights count in relation to each other and to those who answered.
- Of labels that are equally good the one wins that sorts first: numbers by value, texts by their letters,
  classes as the signature lists them. (So do scikit-learn's voting classifiers.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from prism_core.errors import ModelFailed, NoQuorum
from prism_core.traffic.combination import AGREEMENT, JOIN, ONLY, Combination, Member
from prism_core.types import NUMPY_TYPES

Array = np.ndarray[Any, Any]
Outputs = Mapping[str, Any]
Answers = Sequence[tuple[Member, Outputs]]

# Sums of the same weights in another order differ in the last digits: that makes no winner.
EQUAL = 1e-9
# So many rows are named in an error.
REPORTED = 100


def combine(combination: Combination, answers: Answers) -> dict[str, Any]:
    """Return the outputs of an ensemble.

    Parameters
    ----------
    combination
        How.
    answers
        Of the members that answered, at least one, in the order of the route: their outputs by name.

    Raises
    ------
    ModelFailed
        If the answers do not fit each other, or a row has none.
    NoQuorum
        If a row has no label on which enough members agree.
    """
    with np.errstate(all="ignore"):
        return _WAYS[combination.how](combination, answers)


def join(answers: Answers) -> Array:
    """Return the members' answers as the columns of one matrix of FP64: members in order.

    Of each the probabilities, all of them, in the order of its own classes; where it has none, its primary
    output. More axes than two are laid out in C order.
    """
    columns = []
    for member, outputs in answers:
        array = _numbers(member, outputs, member.probabilities or member.labels)
        columns.append(array.reshape(len(array), -1) if array.ndim else array.reshape(1, 1))
    _check_rows([member for member, _ in answers], columns)
    return np.hstack(columns)


# --- the ways ----------------------------------------------------------------------------------


def _only(combination: Combination, answers: Answers) -> dict[str, Any]:
    outputs = answers[0][1]
    return {name: outputs[name] for name in combination.others if name in outputs}


def _joined(combination: Combination, answers: Answers) -> dict[str, Any]:
    return {JOIN: join(answers)}


def _averaged(combination: Combination, answers: Answers) -> dict[str, Any]:
    weights = _weights(combination, answers)
    if combination.probabilities:
        return _averaged_classes(combination, answers, weights)
    found = {combination.labels: _mean_of(answers, [m.labels for m, _ in answers], weights)}
    for name in combination.others:
        found[name] = _mean_of(answers, [name] * len(answers), weights)
    return found


def _averaged_classes(combination: Combination, answers: Answers, weights: Array) -> dict[str, Any]:
    arrays = [_without_partial_rows(one) for one in _probabilities(answers)]
    mean = _mean(arrays, weights)
    found = {}
    if combination.labels:
        found[combination.labels] = _labels_of(combination, _first_best(_answered(mean)))
    return found | {combination.probabilities: mean.astype(np.result_type(*arrays))}


def _surest(combination: Combination, answers: Answers) -> dict[str, Any]:
    arrays = [_without_partial_rows(one) for one in _probabilities(answers)]
    stacked = np.stack(arrays)
    sure = np.where(np.isnan(stacked), -np.inf, stacked).max(axis=-1)
    _check_answered(np.isneginf(sure.max(axis=0)))
    # Of those that are equally sure, whose class comes first.
    width = stacked.shape[-1]
    place = np.where(sure >= sure.max(axis=0) - EQUAL, stacked.argmax(axis=-1), width)
    chosen = place.argmin(axis=0)
    found = {}
    if combination.labels:
        labels = _stacked(answers, [m.labels for m, _ in answers])
        found[combination.labels] = _taken(labels, chosen.reshape(labels.shape[1:]))
    taken = _taken(stacked, chosen[..., None])
    return found | {combination.probabilities: taken.astype(np.result_type(*arrays))}


def _taken(stacked: Array, chosen: Array) -> Array:
    """Return of each row what the chosen member answers."""
    taken: Array = np.take_along_axis(stacked, chosen[None], 0)[0]
    return taken


def _voted(combination: Combination, answers: Answers) -> dict[str, Any]:
    weights = _weights(combination, answers)
    labels, codes = _coded(answers)
    scores = _scores(codes, weights)
    best = scores.max(axis=0)
    _check_answered(best <= 0)
    voted = ((codes >= 0) * weights.reshape(-1, *[1] * (codes.ndim - 1))).sum(axis=0)
    winner = _first(codes, scores >= best - EQUAL * weights.sum())
    return {combination.labels: labels[winner], AGREEMENT: best / voted}


def _agreed(combination: Combination, answers: Answers) -> dict[str, Any]:
    labels, codes = _coded(answers)
    scores = _scores(codes, np.ones(len(answers)))
    best = scores.max(axis=0)
    if (best < combination.need).any():
        raise _no_quorum(best, combination.need, len(answers))
    winner = _first(codes, scores >= best)
    return {combination.labels: labels[winner], AGREEMENT: best / len(answers)}


_WAYS: Mapping[str, Callable[[Combination, Answers], dict[str, Any]]] = {
    "mean": _averaged,
    "weighted": _averaged,
    "max_probability": _surest,
    "vote": _voted,
    "quorum": _agreed,
    JOIN: _joined,
    ONLY: _only,
}


# --- numbers -----------------------------------------------------------------------------------


def _weights(combination: Combination, answers: Answers) -> Array:
    if combination.how not in ("weighted", "vote"):
        return np.ones(len(answers))
    most = max(member.weight for member, _ in answers)
    return np.array([member.weight / most for member, _ in answers])


def _mean_of(answers: Answers, names: Sequence[str], weights: Array) -> Array:
    arrays = [_numbers(member, outputs, name) for (member, outputs), name in zip(answers, names, strict=True)]
    arrays = _alike([member for member, _ in answers], arrays)
    return _mean(arrays, weights).astype(np.result_type(*arrays, np.float16))


def _mean(arrays: Sequence[Array], weights: Array) -> Array:
    """Return the mean in FP64; what is NaN in one is left to the others."""
    total = np.zeros(arrays[0].shape)
    for array, weight in zip(arrays, weights, strict=True):
        total += weight * array.astype(np.float64)
    if not np.isnan(total).any():
        total /= weights.sum()
        return total
    stacked = np.stack([array.astype(np.float64) for array in arrays])
    there = ~np.isnan(stacked)
    weighed = weights.reshape(-1, *[1] * (stacked.ndim - 1)) * there
    mean: Array = (np.where(there, stacked, 0.0) * weighed).sum(axis=0) / weighed.sum(axis=0)
    return mean


def _probabilities(answers: Answers) -> list[Array]:
    """Return the members' probabilities, with the classes in the order of the ensemble."""
    arrays = []
    for member, outputs in answers:
        array = _numbers(member, outputs, member.probabilities)
        if array.ndim < 2:
            raise _misfit(f"{member.reference} answered probabilities of shape {array.shape}.")
        arrays.append(array[..., list(member.places)] if member.places else array)
    return _alike([member for member, _ in answers], arrays)


def _without_partial_rows(array: Array) -> Array:
    """Return probabilities whose rows hold NaN everywhere or nowhere."""
    missing = np.isnan(array)
    if not missing.any():
        return array
    return np.where(missing.any(axis=-1, keepdims=True), np.nan, array).astype(array.dtype)


def _answered(mean: Array) -> Array:
    _check_answered(np.isnan(mean).all(axis=-1))
    return mean


def _first_best(probabilities: Array) -> Array:
    best = probabilities.max(axis=-1, keepdims=True)
    places: Array = (probabilities >= best - EQUAL).argmax(axis=-1)
    return places


def _labels_of(combination: Combination, places: Array) -> Array:
    classes = np.empty(len(combination.classes), dtype=object)
    classes[:] = combination.classes
    return classes.astype(NUMPY_TYPES[combination.datatype])[places]


# --- labels ------------------------------------------------------------------------------------


def _coded(answers: Answers) -> tuple[Array, Array]:
    """Return all labels that occur, sorted, and for each member which of them it answered; -1 for none."""
    stacked = _stacked(answers, [member.labels for member, _ in answers])
    missing = _missing(stacked)
    labels, codes = np.unique(stacked[~missing], return_inverse=True)
    placed = np.full(stacked.shape, -1)
    placed[~missing] = codes
    return labels, placed


def _scores(codes: Array, weights: Array) -> Array:
    """Return for each member's label the weight of all that answered the same.

    Members are few and labels may be many: they are compared with each other.
    """
    scores = np.zeros(codes.shape)
    for voter, weight in zip(codes, weights, strict=True):
        scores += weight * (codes == voter)
    scores[codes < 0] = 0
    return scores


def _first(codes: Array, best: Array) -> Array:
    """Return the lowest of the codes that are among the best."""
    lowest: Array = np.where(best & (codes >= 0), codes, codes.max() + 1).min(axis=0)
    return lowest


def _missing(stacked: Array) -> Array:
    if stacked.dtype.kind == "f":
        return np.isnan(stacked)
    if stacked.dtype.kind == "O":
        return np.array([one is None for one in stacked.flat]).reshape(stacked.shape)
    return np.zeros(stacked.shape, dtype=bool)


def _stacked(answers: Answers, names: Sequence[str]) -> Array:
    members = [member for member, _ in answers]
    arrays: list[Any] = [outputs.get(name) for (_, outputs), name in zip(answers, names, strict=True)]
    for member, array in zip(members, arrays, strict=True):
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biufO":
            raise _misfit(f"{member.reference} answered something that is neither numbers nor texts.")
    texts = {array.dtype.kind == "O" for array in arrays}
    if len(texts) > 1:
        raise _misfit("Some members answered texts and others numbers.")
    return np.stack(_alike(members, arrays))


# --- what fits ---------------------------------------------------------------------------------


def _numbers(member: Member, outputs: Outputs, name: str) -> Array:
    array = outputs.get(name)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise _misfit(f"{member.reference} answered no numbers in {name!r}.")
    return array


def _alike(members: Sequence[Member], arrays: Sequence[Any]) -> list[Any]:
    """Return arrays of one shape; a last axis of one is as good as none."""
    _check_rows(members, arrays)
    least = min(array.ndim for array in arrays)
    same = [_squeezed(array, least) for array in arrays]
    for member, array in zip(members, same, strict=True):
        if array.shape != same[0].shape:
            raise _misfit(
                f"{members[0].reference} answered the shape {same[0].shape}, "
                f"{member.reference} answered {array.shape}."
            )
    return same


def _squeezed(array: Any, ndim: int) -> Any:
    while array.ndim > ndim and array.shape[-1] == 1:
        array = array[..., 0]
    return array


def _check_rows(members: Sequence[Member], arrays: Sequence[Any]) -> None:
    rows = [len(array) if array.ndim else 1 for array in arrays]
    for member, count in zip(members, rows, strict=True):
        if count != rows[0]:
            raise _misfit(
                f"{members[0].reference} answered {rows[0]} rows, {member.reference} answered {count}."
            )


def _check_answered(missing: Any) -> None:
    if missing.any():
        row = int(np.argwhere(np.atleast_1d(missing))[0][0])
        raise ModelFailed(
            f"No member of the ensemble has an answer for row {row}: all answered NaN or nothing.",
            hint="Ask the members by themselves to see which row they cannot compute.",
        )


def _misfit(message: str) -> ModelFailed:
    return ModelFailed(
        message, hint="The members of an ensemble must answer alike; ask each by itself to see how it does."
    )


def _no_quorum(best: Array, need: int, answered: int) -> NoQuorum:
    rows = sorted({int(place[0]) for place in np.argwhere(np.atleast_1d(best) < need)})
    count, first = len(rows), rows[0]
    return NoQuorum(
        f"No {need} of the {answered} members that answered agree on row {first}"
        + (f" ({count} rows in all)." if count > 1 else "."),
        hint="Lower need, combine by vote, or give the route a fallback for such rows.",
        details={"rows": rows[:REPORTED], "count": count},
    )
