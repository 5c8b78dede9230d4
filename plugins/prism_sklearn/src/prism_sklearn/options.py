"""What ``--option`` may set for a scikit-learn model."""

from __future__ import annotations

import attrs


@attrs.frozen
class SklearnOptions:
    """Options of the loader ``sklearn``.

    Parameters
    ----------
    outputs
        The outputs of a request that names none, separated by commas: ``predictions,probabilities``.
    n_jobs
        How many workers an estimator may use for one execution. 1 by default: handing a few rows
        to joblib's pool takes longer than computing them (3.5 against 16 ms for 100 trees).
    datatypes
        Datatypes of columns that the model does not tell, for instance ``{"when": "BYTES"}``.
    trust
        Names that this file may use beside those that scikit-learn needs, as ``module:name``.
    """

    outputs: str = ""
    n_jobs: int = 1
    datatypes: dict[str, str] = attrs.field(factory=dict)
    trust: tuple[str, ...] = ()
