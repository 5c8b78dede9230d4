"""Fitted estimators as people have them, to learn which names their pickles hold.

All that scikit-learn lists, with defaults, and then what changes the names: random states, sparse
and pandas inputs, data types, kernels, metrics, scorers, splitters, callables, compositions.
"""

from __future__ import annotations

import datetime
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

_SWEEP = Path(__file__).parents[1] / "tests" / "sweep_estimators.py"


def sweep() -> Any:
    """Return the module of the tests that fits every estimator."""
    spec = importlib.util.spec_from_file_location("sweep_estimators", _SWEEP)
    assert spec
    assert spec.loader
    module = sys.modules.setdefault("sweep_estimators", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


def corpus() -> Iterator[tuple[str, Any]]:
    """Yield names and fitted estimators; what this scikit-learn cannot fit is left out, and said."""
    warnings.simplefilter("ignore")
    cases = sweep()
    for name in cases.names():
        if name == "MultiLabelBinarizer":
            continue  # it takes no labels beside the rows
        yield from _tried(name, lambda name=name: cases.case(name).estimator)
    for part in (
        _everyday,
        _states,
        _types,
        _kernels,
        _metrics,
        _searches,
        _callables,
        _frames,
        _sparse,
        _losses,
        _odd,
    ):
        for name, fit in part().items():
            yield from _tried(f"{part.__name__.strip('_')}: {name}", fit)


def _tried(name: str, fit: Callable[[], Any]) -> Iterator[tuple[str, Any]]:
    try:
        fitted = fit()
    except Exception as error:
        print(f"not fitted: {name}: {type(error).__name__}: {str(error).strip()[:90]!r}", file=sys.stderr)
        return
    yield name, fitted


def _x() -> Any:
    return np.abs(np.random.default_rng(1).normal(size=(60, 4))) + np.arange(60)[:, None] % 3


def _y() -> Any:
    return np.arange(60) % 3


def _frame() -> Any:
    import pandas as pd

    generator = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "tenure": generator.integers(0, 60, 60),
            "charge": generator.normal(50, 20, 60),
            "plan": generator.choice(["basic", "plus", "pro"], 60),
            "region": pd.Categorical(generator.choice(["north", "south"], 60)),
            "active": generator.choice([True, False], 60),
            "since": pd.date_range("2020-01-01", periods=60),
        }
    )


def _everyday() -> dict[str, Callable[[], Any]]:
    from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, SGDClassifier
    from sklearn.pipeline import FeatureUnion, make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

    frame, y = _frame(), _y()
    selector = make_column_selector
    texts_type = frame["plan"].dtype  # `str` in pandas 3, which pandas 2 does not know

    def columns(*more: Any) -> Any:
        return ColumnTransformer(
            [
                ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["tenure", "charge"]),
                ("texts", OneHotEncoder(handle_unknown="ignore"), ["plan", "region"]),
                *more,
            ]
        )

    def selected() -> Any:
        picked = make_column_transformer(
            (StandardScaler(), selector(dtype_include=np.number)),
            (OrdinalEncoder(), selector(dtype_include=[texts_type, "category"], pattern="p|r")),
            remainder="drop",
        )
        return make_pipeline(picked, RandomForestClassifier(3)).fit(frame, y)

    texts = ["good and cheap", "bad and slow", "good and fast"] * 20
    return {
        "columns": lambda: make_pipeline(columns(), LogisticRegression()).fit(frame, y),
        "selectors": selected,
        "slice": lambda: ColumnTransformer(
            [("a", StandardScaler(), slice(0, 2))], remainder="passthrough"
        ).fit(_x()),
        "mask": lambda: ColumnTransformer([("a", StandardScaler(), [True, False, True, False])]).fit(_x()),
        "pandas out": lambda: make_pipeline(columns(), LogisticRegression()).set_output(transform="pandas"),
        "text": lambda: make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), SGDClassifier()).fit(texts, y),
        "union": lambda: FeatureUnion([("a", StandardScaler()), ("b", FunctionTransformer())]).fit(_x()),
        "categorical boosting": lambda: HistGradientBoostingClassifier(
            max_iter=3, categorical_features="from_dtype"
        ).fit(frame[["tenure", "charge", "region"]], y),
        "masked boosting": lambda: HistGradientBoostingClassifier(
            max_iter=3, categorical_features=[0], interaction_cst="pairwise", monotonic_cst=[0, 1, 0, 0]
        ).fit(np.floor(_x()), y % 2),
    }


def _states() -> dict[str, Callable[[], Any]]:
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import SGDClassifier
    from sklearn.neural_network import MLPClassifier

    random = np.random
    found: dict[str, Callable[[], Any]] = {}
    for kind in ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"):
        generator = getattr(random, kind)
        found[kind] = lambda g=generator: RandomForestClassifier(
            3, random_state=random.RandomState(g(3))
        ).fit(_x(), _y())
        found[f"{kind} generator"] = lambda g=generator: _with(
            SGDClassifier().fit(_x(), _y()), random.Generator(g(1))
        )
    found["global"] = lambda: GradientBoostingClassifier(n_estimators=3).fit(_x(), _y())
    found["early stop"] = lambda: MLPClassifier(
        (4,), early_stopping=True, solver="sgd", max_iter=5, random_state=random.RandomState(1)
    ).fit(_x(), _y())
    found["seed sequence"] = lambda: _with(SGDClassifier().fit(_x(), _y()), random.SeedSequence(4))
    return found


def _with(estimator: Any, value: Any) -> Any:
    estimator.random_state = value
    return estimator


def _types() -> dict[str, Callable[[], Any]]:
    from sklearn.cluster import KMeans
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.preprocessing import LabelEncoder, OneHotEncoder, OrdinalEncoder
    from sklearn.tree import DecisionTreeClassifier

    found: dict[str, Callable[[], Any]] = {}
    for name in ("float16", "float32", "float64", "longdouble", "int8", "int16", "int32", "int64", "uint8", "uint16",
                 "uint32", "uint64", "bool_", "intp"):  # fmt: skip
        dtype = getattr(np, name)
        found[name] = lambda d=dtype: DecisionTreeClassifier(max_features=np.int64(2)).fit(
            _x(), _y().astype(d)
        )
        found[f"encoder {name}"] = lambda d=dtype: OneHotEncoder(dtype=d).fit(_y()[:, None].astype(d))
        found[f"ordinal {name}"] = lambda d=dtype: OrdinalEncoder(
            dtype=d if "int" not in d.__name__ and d is not np.bool_ else np.float64,
            encoded_missing_value=np.nan,
        ).fit(_y()[:, None])
    for dtype in (float, int, bool, str, object, "f4", np.dtype("f4")):
        found[f"built-in {dtype}"] = lambda d=dtype: OneHotEncoder(dtype=d if d not in (str,) else float).fit(
            _y()[:, None].astype(d)
        )
    for kind, values in {
        "texts": np.array(["a", "b", "c"]), "objects": np.array(["a", "b", None], dtype=object)[[0, 1, 0]],
        "bytes": np.array([b"a", b"b", b"c"]), "mixed": np.array([1, "b", 2.5], dtype=object)[[1, 1, 1]],
        "dates": np.array(["2020-01-01", "2021-01-01", "2022-01-01"], dtype="M8[D]"),
        "spans": np.array([1, 2, 3], dtype="m8[s]"),
        "python dates": np.array([datetime.date(2020, 1, d) for d in (1, 2, 3)], dtype=object),
        "stamps": np.array([datetime.datetime(2020, 1, d, tzinfo=datetime.UTC) for d in (1, 2, 3)], dtype=object),
        "python spans": np.array([datetime.timedelta(d) for d in (1, 2, 3)], dtype=object),
        "big": np.array([2**70, 2**71, 2**72], dtype=object),
    }.items():  # fmt: skip
        found[f"labels {kind}"] = lambda v=values: LabelEncoder().fit(v[_y()])
        found[f"categories {kind}"] = lambda v=values: OneHotEncoder().fit(v[_y()][:, None])
        found[f"constant {kind}"] = lambda v=values: DummyClassifier(strategy="most_frequent").fit(
            _x(), v[_y()]
        )
    found["scalars"] = lambda: Ridge(alpha=np.float32(0.5), tol=np.float64(1e-3), max_iter=np.int32(9)).fit(
        _x(), _y()
    )
    found["fortran"] = lambda: KMeans(3, init=np.asfortranarray(_x()[:3]), n_init=1).fit(
        np.asfortranarray(_x())
    )
    found["big endian"] = lambda: _with(LogisticRegression(), np.arange(3, dtype=">f8"))
    found["weights"] = lambda: LogisticRegression(
        class_weight={0: 1.0, 1: 2, np.int64(2): np.float64(3)}
    ).fit(_x(), _y())
    for name, value in {
        "matrix": lambda: np.asmatrix(np.eye(2)), "masked": lambda: np.ma.masked_array([1.0, 2.0], [True, False]),
        "struct": lambda: np.zeros(2, [("a", "f8"), ("b", "O"), ("c", "f4", (2,))]),
        "no rows": lambda: np.zeros((0, 3)), "scalar array": lambda: np.array(1.5), "view": lambda: np.arange(9)[::2],
        "containers": lambda: {1, 2.5, "a", frozenset({3}), (4, None), b"b", 1j, range(3), Ellipsis, NotImplemented},
        "bytearray": lambda: bytearray(b"abc"), "large": lambda: np.arange(300_000.0), "void": lambda: np.void(b"abc"),
        "array of spans": lambda: np.array([1], "m8[ns]"), "object scalars": lambda: np.array([np.float64(1), np.str_("a")], object),
        "nested": lambda: np.array([np.arange(2), np.arange(3)], dtype=object), "text scalar": lambda: np.str_("abc"),
        "bytes scalar": lambda: np.bytes_(b"abc"), "date scalar": lambda: np.datetime64("2020-01-01"), "truth": lambda: np.True_,
        "decimal": lambda: __import__("decimal").Decimal("1.5"),
        "slice": lambda: slice(1, 2),
        "ordered": lambda: __import__("collections").OrderedDict(a=1), "counter": lambda: __import__("collections").Counter("ab"),
        "deque": lambda: __import__("collections").deque([1, 2], 5),
        "defaults": lambda: __import__("collections").defaultdict(int, a=1),
        "numpy classes": lambda: [np.float64, np.int64, np.str_, np.object_, np.ndarray, np.dtype("f8"), float],
        "time": lambda: datetime.time(1, 2), "generic alias": lambda: datetime.timezone(datetime.timedelta(hours=1)),
    }.items():  # fmt: skip
        found[f"parameter {name}"] = lambda v=value: _with(LogisticRegression(), v())
    return found


def _kernels() -> dict[str, Callable[[], Any]]:
    from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor, kernels
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.svm import SVC

    simple = [getattr(kernels, n) for n in ("RBF", "Matern", "RationalQuadratic", "DotProduct",
              "ConstantKernel", "WhiteKernel")]  # fmt: skip
    made: dict[str, Any] = {kind.__name__: kind() for kind in simple}
    made["sum"] = kernels.RBF() + kernels.WhiteKernel()
    made["product"] = kernels.ConstantKernel() * kernels.RBF()
    made["power"] = kernels.RBF() ** 2
    made["pairwise"] = kernels.PairwiseKernel(metric="rbf")
    found: dict[str, Callable[[], Any]] = {
        name: lambda k=kernel: GaussianProcessRegressor(k).fit(_x(), _y()) for name, kernel in made.items()
    }
    found["several classes"] = lambda: GaussianProcessClassifier(kernels.RBF()).fit(_x(), _y())
    found["compound"] = lambda: GaussianProcessClassifier(kernels.RBF(), multi_class="one_vs_one").fit(
        _x(), _y()
    )
    for kernel in ("linear", "poly", "sigmoid", "rbf"):
        found[f"svc {kernel}"] = lambda k=kernel: SVC(kernel=k, probability=False).fit(_x(), _y())
    for kernel in ("laplacian", "cosine", "polynomial"):
        found[f"ridge {kernel}"] = lambda k=kernel: KernelRidge(kernel=k).fit(_x(), _y())
    return found


def _metrics() -> dict[str, Callable[[], Any]]:
    from sklearn import cluster
    from sklearn.cluster import AgglomerativeClustering, Birch
    from sklearn.metrics import DistanceMetric
    from sklearn.neighbors import BallTree, KDTree, KernelDensity, KNeighborsClassifier, LocalOutlierFactor

    found: dict[str, Callable[[], Any]] = {}
    for algorithm in ("ball_tree", "kd_tree", "brute"):
        for dtype in (np.float32, np.float64):
            found[f"{algorithm} {dtype.__name__}"] = lambda a=algorithm, d=dtype: KNeighborsClassifier(
                3, algorithm=a
            ).fit(_x().astype(d), _y())
    for metric in ("euclidean", "l1", "l2", "manhattan", "cityblock", "chebyshev", "minkowski", "canberra", "braycurtis",
                   "hamming", "jaccard", "dice", "russellrao", "rogerstanimoto", "sokalsneath", "haversine"):  # fmt: skip
        x = _x() > 1 if metric in ("jaccard", "dice", "russellrao", "rogerstanimoto", "sokalsneath") else _x()
        x = x[:, :2] if metric == "haversine" else x
        found[f"metric {metric}"] = lambda m=metric, x=x: KNeighborsClassifier(
            3, metric=m, algorithm="ball_tree"
        ).fit(x, _y())
    for metric, named in {
        "seuclidean": {"V": np.ones(4)},
        "mahalanobis": {"V": np.eye(4)},
        "minkowski": {"p": 3, "w": np.ones(4)},
    }.items():
        for dtype in ("float32", "float64"):
            found[f"metric {metric} {dtype}"] = lambda m=metric, k=named, d=dtype: KNeighborsClassifier(
                3, metric=m, metric_params=dict(k), algorithm="ball_tree"
            ).fit(_x().astype(d), _y())
            found[f"distance {metric} {dtype}"] = lambda m=metric, k=named, d=dtype: _with(
                KernelDensity().fit(_x()), DistanceMetric.get_metric(m, getattr(np, d), **k)
            )
    for kernel in ("gaussian", "tophat", "epanechnikov", "exponential", "linear", "cosine"):
        found[f"density {kernel}"] = lambda k=kernel: KernelDensity(kernel=k).fit(_x())
    found["trees"] = lambda: _with(KernelDensity().fit(_x()), [KDTree(_x()), BallTree(_x())])
    found["outliers"] = lambda: LocalOutlierFactor(novelty=True, algorithm="ball_tree").fit(_x())
    found["birch"] = lambda: Birch(n_clusters=None).fit(_x())
    found["birch clusters"] = lambda: Birch(n_clusters=AgglomerativeClustering(2)).fit(_x())
    found["hdbscan"] = lambda: cluster.HDBSCAN(store_centers="both").fit(_x())
    return found


def _searches() -> dict[str, Callable[[], Any]]:
    from sklearn import metrics, model_selection
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401
    from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
    from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, RandomizedSearchCV

    model, grid = LogisticRegression(), {"C": np.logspace(-1, 1, 2)}
    found: dict[str, Callable[[], Any]] = {}
    for name in metrics.get_scorer_names():
        found[f"scorer {name}"] = lambda n=name: _with(LogisticRegression(), metrics.get_scorer(n))
    for metric in (
        "f1_score",
        "fbeta_score",
        "mean_squared_error",
        "accuracy_score",
        "roc_auc_score",
        "log_loss",
    ):
        found[f"made {metric}"] = lambda m=metric: _with(
            LogisticRegression(), metrics.make_scorer(getattr(metrics, m), greater_is_better=False)
        )
    for splitter in ("KFold", "StratifiedKFold", "ShuffleSplit", "StratifiedShuffleSplit", "RepeatedKFold",
                     "RepeatedStratifiedKFold", "TimeSeriesSplit", "GroupKFold", "LeaveOneOut", "LeaveOneGroupOut",
                     "StratifiedGroupKFold", "GroupShuffleSplit"):  # fmt: skip
        found[f"split {splitter}"] = lambda s=splitter: _with(
            LogisticRegression(), getattr(model_selection, s)()
        )
    found["splits"] = lambda: _with(LogisticRegression(), model_selection.LeavePOut(2))
    found["given"] = lambda: _with(LogisticRegression(), model_selection.PredefinedSplit([0, 1]))
    found["grid"] = lambda: GridSearchCV(
        model, grid, scoring=["accuracy", "f1_macro"], refit="accuracy", cv=2
    ).fit(_x(), _y())
    found["iterable"] = lambda: GridSearchCV(model, grid, cv=list(model_selection.KFold(2).split(_x()))).fit(
        _x(), _y()
    )
    found["halving"] = lambda: HalvingGridSearchCV(model, grid, cv=2).fit(_x(), _y())
    found["random"] = lambda: RandomizedSearchCV(model, {"C": [0.1, 1]}, n_iter=2, cv=2, random_state=1).fit(
        _x(), _y()
    )
    found["own cv"] = lambda: LogisticRegressionCV(Cs=2, cv=2).fit(_x(), _y())
    found["nested"] = lambda: GridSearchCV(GridSearchCV(model, grid, cv=2), {"cv": [2, 3]}, cv=2).fit(
        _x(), _y()
    )
    return found


def _callables() -> dict[str, Callable[[], Any]]:
    from scipy import special
    from sklearn import feature_selection
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import FunctionTransformer

    found: dict[str, Callable[[], Any]] = {}
    for name in ("log", "log1p", "log2", "log10", "exp", "expm1", "sqrt", "square", "abs", "absolute", "cbrt", "sin", "cos",
                 "tan", "tanh", "negative", "reciprocal", "sign", "rint", "floor", "ceil", "isnan", "isfinite",
                 "nan_to_num", "clip", "round", "ravel", "squeeze", "cumsum", "mean", "median", "nanmean", "array",
                 "asarray", "diff", "real", "float64", "sum", "maximum", "minimum", "hypot", "arctan", "arcsinh"):  # fmt: skip
        found[f"numpy {name}"] = lambda n=name: FunctionTransformer(getattr(np, n)).fit(_x())
    for name in (
        "expit",
        "logit",
        "boxcox1p",
        "inv_boxcox1p",
        "log1p",
        "softmax",
        "logsumexp",
        "xlogy",
        "erf",
    ):
        found[f"special {name}"] = lambda n=name: FunctionTransformer(getattr(special, n)).fit(_x())
    found["target"] = lambda: TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1).fit(
        _x(), _y()
    )
    for name in (
        "f_classif",
        "f_regression",
        "mutual_info_classif",
        "mutual_info_regression",
        "chi2",
        "r_regression",
    ):
        found[f"selection {name}"] = lambda n=name: feature_selection.SelectKBest(
            getattr(feature_selection, n), k=2
        ).fit(_x(), _y())
    for name in ("float", "int", "str", "bool"):
        found[f"built-in {name}"] = lambda n=name: FunctionTransformer(
            __builtins__[n] if isinstance(__builtins__, dict) else getattr(__builtins__, n)
        )
    return found


def _frames() -> dict[str, Callable[[], Any]]:
    import pandas as pd
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    frame = _frame()

    def held(value: Any) -> Callable[[], Any]:
        return lambda: _with(RandomForestClassifier(2).fit(frame[["tenure", "charge"]], _y()), value)

    found = {
        "frame": held(frame), "series": held(frame["plan"]), "index": held(pd.RangeIndex(4)),
        "names": held(frame.columns), "categories": held(frame["region"].dtype), "numbers": held(frame[["tenure"]]),
        "stamps": held(pd.Timestamp("2020-01-01")), "missing": held(pd.NA), "no time": held(pd.NaT),
        "span": held(pd.Timedelta(1, "s")), "dates": held(pd.DatetimeIndex(frame["since"])),
        "spans": held(pd.TimedeltaIndex([1, 2])), "several": held(pd.MultiIndex.from_tuples([(1, "a"), (2, "b")])),
        "interval": held(pd.Interval(0, 1)), "intervals": held(pd.interval_range(0, 3)),
        "texts": held(pd.array(["a", None], dtype="string")), "integers": held(pd.array([1, None], dtype="Int64")),
        "floats": held(pd.array([1.5, None], dtype="Float64")), "truths": held(pd.array([True, None], dtype="boolean")),
        "python strings": held(pd.Series(["a"], dtype=pd.StringDtype("python"))), "zone": held(pd.Timestamp("2020", tz="UTC")),
        "sparse": held(pd.arrays.SparseArray([0, 1])), "categorical index": held(pd.CategoricalIndex(["a"])),
        "dtypes": held(frame.dtypes), "objects": held(pd.Series([1, "a"], dtype=object)),
    }  # fmt: skip
    found["neighbours"] = lambda: KNeighborsClassifier(2).fit(frame[["tenure", "charge"]], frame["plan"])
    found["encoder"] = lambda: OneHotEncoder(min_frequency=2, max_categories=3).fit(frame[["plan", "region"]])
    found["given"] = lambda: OrdinalEncoder(categories=[["north", "south"]]).fit(frame[["region"]])
    for dtype in ("Int64", "Float64", "boolean"):
        column = pd.Series([True, False, None] * 20, dtype="boolean").astype(dtype)
        found[f"nullable {dtype}"] = lambda c=column: OneHotEncoder().fit(c.to_frame("a"))
    return found


def _sparse() -> dict[str, Callable[[], Any]]:
    from scipy import sparse
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import BernoulliNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC

    found: dict[str, Callable[[], Any]] = {}
    for kind in ("csr", "csc", "coo", "bsr", "dia", "dok", "lil"):
        for form in ("matrix", "array"):
            make = getattr(sparse, f"{kind}_{form}", None)
            if make is not None:
                found[f"{kind} {form}"] = lambda m=make: _with(LogisticRegression(), m(np.eye(3)))
    for form in (sparse.csr_matrix, sparse.csr_array):
        found[f"neighbours {form.__name__}"] = lambda f=form: KNeighborsClassifier(2).fit(f(_x()), _y())
        found[f"svc {form.__name__}"] = lambda f=form: SVC().fit(f(_x()), _y())
        found[f"bayes {form.__name__}"] = lambda f=form: BernoulliNB().fit(f(_x()), _y())
        found[f"sparse coefficients {form.__name__}"] = lambda f=form: (
            LogisticRegression().fit(f(_x()), _y()).sparsify()
        )
    return found


def _losses() -> dict[str, Callable[[], Any]]:
    from sklearn import ensemble, linear_model

    x, y, positive = _x(), _y(), _y() + 0.5
    found: dict[str, Callable[[], Any]] = {}
    for loss in ("hinge", "log_loss", "modified_huber", "squared_hinge", "perceptron", "squared_error", "huber",
                 "epsilon_insensitive", "squared_epsilon_insensitive"):  # fmt: skip
        for classes in (2, 3):
            found[f"sgd {loss} {classes}"] = lambda v=loss, c=classes: linear_model.SGDClassifier(loss=v).fit(
                x, y % c
            )
        if loss not in ("hinge", "log_loss", "modified_huber", "squared_hinge", "perceptron"):
            found[f"sgd number {loss}"] = lambda v=loss: linear_model.SGDRegressor(loss=v).fit(x, y)
    for loss in ("squared_error", "absolute_error", "huber", "quantile"):
        found[f"boosting {loss}"] = lambda v=loss: ensemble.GradientBoostingRegressor(
            loss=v, n_estimators=2
        ).fit(x, y)
    for loss in ("log_loss", "exponential"):
        found[f"boosting {loss}"] = lambda v=loss: ensemble.GradientBoostingClassifier(
            loss=v, n_estimators=2
        ).fit(x, y % 2)
    found["boosting zero"] = lambda: ensemble.GradientBoostingRegressor(init="zero", n_estimators=2).fit(x, y)
    for loss in ("squared_error", "absolute_error", "gamma", "poisson", "quantile"):
        found[f"histogram {loss}"] = lambda v=loss: ensemble.HistGradientBoostingRegressor(
            loss=v, quantile=0.5 if v == "quantile" else None, max_iter=2
        ).fit(x, positive)
    found["histogram two"] = lambda: ensemble.HistGradientBoostingClassifier(max_iter=2).fit(x, y % 2)
    found["histogram early"] = lambda: ensemble.HistGradientBoostingClassifier(
        max_iter=2, early_stopping=True
    ).fit(x, y % 2)
    for power in (0, 1, 1.5, 2, 3):
        found[f"tweedie {power}"] = lambda p=power: linear_model.TweedieRegressor(power=p).fit(x, positive)
    found["tweedie log"] = lambda: linear_model.TweedieRegressor(link="log").fit(x, positive)
    for criterion in ("gini", "entropy", "log_loss"):
        found[f"forest {criterion}"] = lambda c=criterion: ensemble.RandomForestClassifier(
            2, criterion=c
        ).fit(x, y)
    for criterion in ("squared_error", "absolute_error", "friedman_mse", "poisson"):
        found[f"forest {criterion}"] = lambda c=criterion: ensemble.RandomForestRegressor(
            2, criterion=c, oob_score=True
        ).fit(x, y)
    return found


def _odd() -> dict[str, Callable[[], Any]]:
    import tempfile

    from joblib import Memory
    from sklearn.cluster import SpectralBiclustering
    from sklearn.decomposition import PCA
    from sklearn.ensemble import StackingClassifier, VotingClassifier
    from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
    from sklearn.gaussian_process import kernels
    from sklearn.impute import IterativeImputer
    from sklearn.isotonic import IsotonicRegression
    from sklearn.linear_model import LogisticRegression, RANSACRegressor
    from sklearn.mixture import BayesianGaussianMixture
    from sklearn.model_selection import HalvingRandomSearchCV
    from sklearn.multioutput import ClassifierChain
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import MultiLabelBinarizer, SplineTransformer
    from sklearn.tree import DecisionTreeClassifier
    from sklearn.utils import Bunch

    def routing() -> Any:
        from sklearn.utils.metadata_routing import MetadataRequest  # since 1.3

        return _with(LogisticRegression(), MetadataRequest("a"))

    x, y = _x(), _y()
    return {
        "cached": lambda: Pipeline([("p", PCA(2)), ("m", LogisticRegression())], memory=Memory(None)).fit(
            x, y
        ),
        "stack": lambda: StackingClassifier(
            [("a", DecisionTreeClassifier()), ("b", LogisticRegression())], cv=2
        ).fit(x, y),
        "vote": lambda: VotingClassifier([("a", DecisionTreeClassifier()), ("b", LogisticRegression())]).fit(
            x, y
        ),
        "chain": lambda: ClassifierChain(LogisticRegression()).fit(x, np.stack([y % 2, y // 2], 1)),
        "ransac": lambda: RANSACRegressor(random_state=1).fit(x, y),
        "isotonic": lambda: IsotonicRegression(out_of_bounds="clip").fit(x[:, 0], y),
        "mixture": lambda: BayesianGaussianMixture(n_components=2).fit(x),
        "splines": lambda: SplineTransformer(extrapolation="periodic").fit(x),
        "biclusters": lambda: SpectralBiclustering(2).fit(x),
        "bunch": lambda: _with(LogisticRegression(), Bunch(a=1, b=np.eye(2))),
        "routing": routing,
        "sets": lambda: MultiLabelBinarizer().fit([["a", "b"], ["c"]]),
        "unfitted": lambda: LogisticRegression(),
        "iterative": lambda: IterativeImputer(max_iter=2).fit(np.where(x > 2.5, np.nan, x)),
        "stored": lambda: _with(LogisticRegression(), Memory(tempfile.gettempdir(), verbose=0)),
        "halving": lambda: HalvingRandomSearchCV(LogisticRegression(), {"C": [0.1, 1, 10]}, cv=2).fit(x, y),
        "periodic": lambda: _with(LogisticRegression(), kernels.ExpSineSquared()),
    }
