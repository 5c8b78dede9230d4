"""Every estimator of scikit-learn, fitted on a small data set, with rows to ask it about."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np

SEED = 7
ROWS = 60
ASKED = 7

# Estimators that have predict, transform or decision_function and are not served, with the reason.
EXCEPTIONS = {
    "FeatureHasher": "takes rows of any names or lengths, which a signature cannot describe",
    "MultiLabelBinarizer": "takes sets of labels of any length",
    "PatchExtractor": "answers several patches for one image, so rows do not stay rows",
}
# Methods that are no output, though the estimator has them: the first is drawn anew at each call.
UNANSWERED = {("BernoulliRBM", "scores")}
# What an estimator must have one of to be counted; `METHODS` of the plugin says how they are called.
JUDGED = ("predictions", "transformed", "decision")
# Those that have nothing to answer a request with: they describe or label the rows that they were fitted on.
SILENT = [
    "AgglomerativeClustering",
    "ClassicalMDS",
    "DBSCAN",
    "EmpiricalCovariance",
    "GraphicalLasso",
    "GraphicalLassoCV",
    "HDBSCAN",
    "LedoitWolf",
    "MDS",
    "MinCovDet",
    "NearestNeighbors",
    "OAS",
    "OPTICS",
    "ShrunkCovariance",
    "SpectralBiclustering",
    "SpectralClustering",
    "SpectralCoclustering",
    "SpectralEmbedding",
    "TSNE",
]


@attrs.frozen
class Case:
    """A fitted estimator, the rows to ask about as they go into JSON, and as the estimator takes them."""

    name: str
    estimator: Any
    rows: Any
    direct: Any


def numbers() -> np.ndarray[Any, Any]:
    """Return positive numbers, ``(ROWS, 4)``, in three groups."""
    generator = np.random.default_rng(SEED)
    groups = np.arange(ROWS) % 3
    return np.abs(generator.normal(size=(ROWS, 4)) + groups[:, None] * [1.5, 0.5, 2.0, 0.1]) + 0.1


def labels() -> np.ndarray[Any, Any]:
    """Return three text labels that follow the groups of `numbers`."""
    return np.array(["bronze", "gold", "silver"])[np.arange(ROWS) % 3]


def targets() -> np.ndarray[Any, Any]:
    """Return a positive number a row."""
    return numbers() @ np.array([1.0, 0.5, 0.25, 2.0])


def _texts() -> list[str]:
    words = ["good", "bad", "fast", "slow", "cheap", "dear"]
    generator = np.random.default_rng(SEED)
    return [" ".join(generator.choice(words, size=4)) for _ in range(ROWS)]


def _arguments() -> dict[str, Callable[[], dict[str, Any]]]:
    """Return constructor arguments of those that need some, or are slow or noisy without."""
    from sklearn.cluster import KMeans
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    def classifier() -> Any:
        return LogisticRegression(max_iter=500)

    return {
        "ClassifierChain": lambda: {"estimator": classifier()},
        "ColumnTransformer": lambda: {
            "transformers": [("a", StandardScaler(), [0, 1]), ("b", "passthrough", [2])]
        },
        "FeatureUnion": lambda: {"transformer_list": [("a", StandardScaler()), ("b", MinMaxScaler())]},
        "FixedThresholdClassifier": lambda: {"estimator": classifier()},
        "FrozenEstimator": lambda: {"estimator": classifier().fit(numbers(), labels())},
        "GridSearchCV": lambda: {"estimator": classifier(), "param_grid": {"C": [0.1, 1.0]}, "cv": 3},
        "MultiOutputClassifier": lambda: {"estimator": classifier()},
        "MultiOutputRegressor": lambda: {"estimator": LinearRegression()},
        "OneVsOneClassifier": lambda: {"estimator": classifier()},
        "OneVsRestClassifier": lambda: {"estimator": classifier()},
        "OutputCodeClassifier": lambda: {"estimator": classifier(), "random_state": SEED},
        "Pipeline": lambda: {"steps": [("scale", StandardScaler()), ("model", classifier())]},
        "RFE": lambda: {"estimator": classifier(), "n_features_to_select": 2},
        "RFECV": lambda: {"estimator": classifier(), "cv": 3},
        "RandomizedSearchCV": lambda: {
            "estimator": classifier(),
            "param_distributions": {"C": [0.1, 1.0]},
            "n_iter": 2,
            "cv": 3,
        },
        "RegressorChain": lambda: {"estimator": LinearRegression()},
        "SelectFromModel": lambda: {"estimator": classifier()},
        "SelfTrainingClassifier": lambda: {"estimator": classifier()},
        "SequentialFeatureSelector": lambda: {"estimator": classifier(), "cv": 3},
        "SparseCoder": lambda: {"dictionary": np.eye(4)},
        "StackingClassifier": lambda: {"estimators": [("a", classifier()), ("b", classifier())], "cv": 3},
        "StackingRegressor": lambda: {
            "estimators": [("a", LinearRegression()), ("b", LinearRegression())],
            "cv": 3,
        },
        "TunedThresholdClassifierCV": lambda: {"estimator": classifier(), "cv": 3},
        "VotingClassifier": lambda: {
            "estimators": [("a", classifier()), ("b", classifier())],
            "voting": "soft",
        },
        "VotingRegressor": lambda: {"estimators": [("a", LinearRegression()), ("b", LinearRegression())]},
        "GaussianRandomProjection": lambda: {"n_components": 2},
        "SparseRandomProjection": lambda: {"n_components": 2},
        "BisectingKMeans": lambda: {"n_clusters": 3},
        "BernoulliRBM": lambda: {"n_components": 3},
        "LocalOutlierFactor": lambda: {"novelty": True},
        "CategoricalNB": lambda: {"min_categories": 20},
        "HashingVectorizer": lambda: {"n_features": 16},
        "KMeans": lambda: {"n_clusters": 3, "n_init": 2},
        "MiniBatchKMeans": lambda: {"n_clusters": 3, "n_init": 2},
        "RandomTreesEmbedding": lambda: {"n_estimators": 5},
        "TransformedTargetRegressor": lambda: {"regressor": LinearRegression()},
        "BaggingClassifier": lambda: {"estimator": classifier()},
        "CalibratedClassifierCV": lambda: {"estimator": classifier(), "cv": 3},
        "CountVectorizer": lambda: {"vocabulary": CountVectorizer().fit(_texts()).vocabulary_},
        "FeatureAgglomeration": lambda: {"n_clusters": 2},
        "GaussianMixture": lambda: {"n_components": 3},
        "SpectralEmbedding": lambda: {"n_neighbors": 5},
        # What releases before 1.4 do by default asks scipy for what it no longer has, or for too much.
        "QuantileRegressor": lambda: {"solver": "highs"},
        "SelectKBest": lambda: {"k": 2},
        "LinearSVC": lambda: {"max_iter": 10000},
        "SVC": lambda: {},
        "Birch": lambda: {"n_clusters": KMeans(3, n_init=2)},
    }


_BINARY = ("FixedThresholdClassifier", "TunedThresholdClassifierCV")
_SEVERAL_LABELS = ("MultiOutputClassifier",)
_SEVERAL_TARGETS = (
    "CCA",
    "MultiOutputRegressor",
    "MultiTaskElasticNet",
    "MultiTaskElasticNetCV",
    "MultiTaskLasso",
    "MultiTaskLassoCV",
    "PLSCanonical",
    "PLSRegression",
    "PLSSVD",
    "RegressorChain",
)
_TEXTS = ("CountVectorizer", "HashingVectorizer", "TfidfVectorizer")
_COUNTS = ("CategoricalNB", "TfidfTransformer", "MultinomialNB", "ComplementNB", "LatentDirichletAllocation")
_KERNELS = ("KernelCenterer",)
_CATEGORIES = ("OneHotEncoder", "OrdinalEncoder", "TargetEncoder")
_LABELS = ("LabelEncoder", "LabelBinarizer")


def names() -> list[str]:
    """Return the names of all estimators that scikit-learn lists."""
    from sklearn.utils import all_estimators

    return [name for name, _ in all_estimators()]


def served() -> list[str]:
    """Return those that have an answer to give and are no exception."""
    return [name for name in names() if name not in SILENT and name not in EXCEPTIONS]


def case(name: str) -> Case:
    """Fit the estimator called ``name``.

    Whatever it warns of on such small data does not matter here.
    """
    from sklearn.utils import all_estimators

    kind = dict(all_estimators())[name]
    arguments = _arguments().get(name, dict)()
    if "estimator" in arguments and "estimator" not in inspect.signature(kind).parameters:
        arguments["base_estimator"] = arguments.pop("estimator")  # as scikit-learn before 1.6 calls it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator = kind(**arguments)
        if "random_state" in estimator.get_params(deep=False):
            estimator.set_params(random_state=SEED)
        rows, fitted = _fit(name, estimator)
    return Case(name, fitted, rows, _direct(name, rows))


def _fit(name: str, estimator: Any) -> tuple[Any, Any]:
    from sklearn.base import is_classifier

    x: Any = numbers()
    y: Any = labels() if is_classifier(estimator) or name in _WITH_LABELS else targets()
    if name in _TEXTS:
        x = _texts()
    elif name in _LABELS:
        return labels()[:ASKED].tolist(), estimator.fit(labels())
    elif name == "DictVectorizer":
        x = [{"plan": label, "age": float(i)} for i, label in enumerate(labels())]
    elif name == "IsotonicRegression":
        return x[:ASKED, :1].ravel().tolist(), estimator.fit(x[:, 0], y)
    elif name in _COUNTS:
        x = np.floor(x * 3)
    elif name in _KERNELS:
        x = x @ x.T
    elif name in _CATEGORIES:
        x = np.stack([labels(), labels()[::-1]], axis=1).astype(object)
    if name in _BINARY:
        y = np.where(y == "gold", "yes", "no")
    elif name in _SEVERAL_LABELS:
        y = np.stack([np.arange(ROWS) % 3, np.arange(ROWS) // 2 % 3], axis=1)
    elif name == "ClassifierChain":
        y = np.stack([np.arange(ROWS) % 3 == 0, np.arange(ROWS) // 2 % 2], axis=1).astype(int)
    elif name == "SelfTrainingClassifier":
        y = np.where(np.arange(ROWS) % 5 == 4, -1, np.arange(ROWS) % 3)
    elif name in _SEVERAL_TARGETS:
        y = np.stack([y, numbers()[:, 1]], axis=1)
    estimator.fit(x, y)
    return (x[:ASKED] if isinstance(x, list) else x[:ASKED].tolist()), estimator


# Transformers that choose by class, and search wrappers that do not say that they are classifiers.
_WITH_LABELS = (
    "GenericUnivariateSelect",
    "NeighborhoodComponentsAnalysis",
    "RFE",
    "RFECV",
    "SelectFdr",
    "SelectFpr",
    "SelectFromModel",
    "SelectFwe",
    "SelectKBest",
    "SelectPercentile",
    "SequentialFeatureSelector",
    "GridSearchCV",
    "RandomizedSearchCV",
    "Pipeline",
)


def _direct(name: str, rows: Any) -> Any:
    if name in _TEXTS or name == "DictVectorizer":
        return rows
    if name in _CATEGORIES:
        return np.array(rows, dtype=object)
    return np.array(rows)
