"""What a pickle may call while it is loaded: reviewed one by one, each with its reason and its rule.

A call is where a pickle does something, so these are few.
"""

from __future__ import annotations

import attrs

from prism_sklearn.audit import arrays, rules
from prism_sklearn.audit.rules import CHECKED, RANDOM, Rule, StateRule


@attrs.frozen
class Called:
    """Why a name may be called, with which arguments, and what may be done with the result."""

    reason: str
    rule: Rule
    state: StateRule = rules.no_state
    fill: tuple[type, ...] = ()


_LOSS = "sklearn._loss._loss."
_SGD = "sklearn.linear_model._sgd_fast."
_PANDAS = "pandas._libs."
_NUMBERS = "its constructor keeps a number or nothing"

# One by one, before scikit-learn 1.6 each was unpickled by a function of its own.
_LOSSES = (
    "CyAbsoluteError",
    "CyExponentialLoss",
    "CyHalfBinomialLoss",
    "CyHalfGammaLoss",
    "CyHalfMultinomialLoss",
    "CyHalfPoissonLoss",
    "CyHalfSquaredError",
    "CyHalfTweedieLoss",
    "CyHalfTweedieLossIdentity",
    "CyHuberLoss",
    "CyPinballLoss",
)

CALLED: dict[str, Called] = {
    "_codecs.encode": Called("bytes before protocol 3: a text in latin1", rules.texts),
    "builtins.bytearray": Called("a copy of bytes", rules.content),
    "builtins.bytes": Called("no bytes, before protocol 3", rules.plain(0)),
    "builtins.complex": Called("a number", rules.plain(2)),
    "builtins.frozenset": Called("a set of a list, before protocol 4", rules.entries(list)),
    "builtins.range": Called("keeps three numbers", rules.plain(1, 2, 3)),
    "builtins.set": Called("a set of a list, before protocol 4", rules.entries(list)),
    "builtins.slice": Called("keeps three values", rules.plain(1, 2, 3)),
    "collections.Counter": Called("a dict", rules.entries(dict), fill=(dict,)),
    "collections.OrderedDict": Called("a dict", rules.entries(list), fill=(dict,)),
    "collections.defaultdict": Called("a dict whose defaults are empty", rules.default, fill=(dict,)),
    "collections.deque": Called("a list", rules.queue, fill=(list,)),
    "copyreg._reconstructor": Called("instances before protocol 2: of admitted classes", rules.instance),
    "datetime.date": Called("a date of bytes or numbers", rules.dates),
    "datetime.datetime": Called("a time of bytes or numbers", rules.dates),
    "datetime.time": Called("a time of bytes or numbers", rules.dates),
    "datetime.timedelta": Called("a number of days and seconds", rules.dates),
    "datetime.timezone": Called("an offset", rules.dates),
    "decimal.Decimal": Called("a number written as text", rules.plain(1)),
    "functools.partial": Called("of check_array alone", rules.named(CHECKED), rules.checked),
    "numpy.dtype": Called("a data type by its code", arrays.dtype_args, arrays.dtype_state),
    "numpy._core.multiarray._reconstruct": Called("an empty array", arrays.empty_array, arrays.array_state),
    arrays.SCALAR: Called("a number of its bytes", arrays.scalar_args),
    "numpy._core.numeric._frombuffer": Called("an array over bytes", arrays.buffer_args),
    "numpy.ma.core._mareconstruct": Called("an empty masked array", rules.masked, arrays.masked_state),
    f"{RANDOM}__bit_generator_ctor": Called("a bit generator", rules.generator, rules.any_state),
    f"{RANDOM}__generator_ctor": Called("a generator of one", rules.generator, rules.any_state),
    f"{RANDOM}__randomstate_ctor": Called("a random state of one", rules.generator, rules.any_state),
    "numpy.random.bit_generator.__pyx_unpickle_SeedSequence": Called(
        "a seed", rules.named("numpy.random.bit_generator.SeedSequence", more=2), rules.any_state
    ),
    "pandas.Interval": Called("keeps its ends", rules.plain(3)),
    f"{_PANDAS}interval.Interval": Called("keeps its ends", rules.plain(3)),
    "pandas.StringDtype": Called("a type of texts", rules.text_type),
    f"{_PANDAS}arrays.__pyx_unpickle_NDArrayBacked": Called(
        "an empty array of pandas", rules.within("pandas.", more=2), rules.any_state
    ),
    f"{_PANDAS}internals._unpickle_block": Called("a block of a table", rules.held(3)),
    f"{_PANDAS}missing.NAType": Called("the missing value", rules.plain(0)),
    f"{_PANDAS}sparse.IntIndex": Called("places of a sparse array", rules.held(2)),
    f"{_PANDAS}tslibs.nattype._nat_unpickle": Called("no time", rules.plain(1)),
    f"{_PANDAS}tslibs.timedeltas._timedelta_unpickle": Called("a span of time", rules.plain(2)),
    f"{_PANDAS}tslibs.timestamps._unpickle_timestamp": Called("a time", rules.held(4)),
    "pandas.core.indexes.base._new_Index": Called("an index of a table", rules.within("pandas.", more=1)),
    "pandas.core.indexes.datetimes._new_DatetimeIndex": Called(
        "an index of times", rules.within("pandas.", more=1)
    ),
    "pandas.core.indexes.interval._new_IntervalIndex": Called(
        "an index of intervals", rules.within("pandas.", more=1)
    ),
    "pandas.core.indexes.timedeltas._new_TimedeltaIndex": Called(
        "an index of spans", rules.within("pandas.", more=1)
    ),
    "pandas.core.internals.managers.BlockManager": Called(
        "the blocks of a table", rules.held(2), rules.any_state
    ),
    **{f"{_LOSS}{name}": Called(_NUMBERS, rules.plain(0, 1)) for name in _LOSSES},
    **{
        f"{_LOSS}__pyx_unpickle_{name}": Called(
            "an empty loss", rules.named(f"{_LOSS}{name}", more=2), rules.any_state
        )
        for name in _LOSSES
    },
    **{
        f"{_SGD}{name}": Called(_NUMBERS, rules.plain(0, 1))
        for name in (
            "EpsilonInsensitive",
            "Hinge",
            "Huber",
            "Log",
            "ModifiedHuber",
            "SquaredEpsilonInsensitive",
            "SquaredHinge",
            "SquaredLoss",
        )
    },
    "sklearn.metrics._dist_metrics.newObj": Called(
        "an empty metric of its module",
        rules.within("sklearn.metrics._dist_metrics.", more=0),
        rules.any_state,
    ),
    "sklearn.neighbors._ball_tree.newObj": Called(
        "an empty tree", rules.within("sklearn.neighbors._ball_tree.", more=0), rules.any_state
    ),
    "sklearn.neighbors._kd_tree.newObj": Called(
        "an empty tree", rules.within("sklearn.neighbors._kd_tree.", more=0), rules.any_state
    ),
    "sklearn.tree._tree.Tree": Called("an empty tree of nodes", rules.held(3), rules.any_state),
}
# Instances that are made by `__new__` with arguments: tuples whose values have names.
MADE_WITH: dict[str, Rule] = {"sklearn.impute._iterative._ImputerTriplet": rules.held(3)}
# Classes that are dicts.
FILLED: dict[str, type] = {
    "sklearn.utils._bunch.Bunch": dict,
    "scipy.sparse._dok.dok_matrix": dict,
    "scipy.sparse._dok.dok_array": dict,
}
