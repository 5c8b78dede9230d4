"""Which distribution a module comes from, for what scikit-learn models are made of.

Only these are ever asked of a package index on a file's word: a file must not choose packages by
name. For any other its owner has ``--requirements``.
"""

from __future__ import annotations

DISTRIBUTIONS = {
    "boruta": "boruta",
    "catboost": "catboost",
    "category_encoders": "category-encoders",
    "feature_engine": "feature-engine",
    "hdbscan": "hdbscan",
    "imblearn": "imbalanced-learn",
    "imodels": "imodels",
    "interpret": "interpret-core",
    "joblib": "joblib",
    "lightgbm": "lightgbm",
    "mlxtend": "mlxtend",
    "ngboost": "ngboost",
    "numpy": "numpy",
    "optbinning": "optbinning",
    "pandas": "pandas",
    "polars": "polars",
    "pyarrow": "pyarrow",
    "pygam": "pygam",
    "pyod": "pyod",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "sklearn_extra": "scikit-learn-extra",
    "sklearn_pandas": "sklearn-pandas",
    "sklearnex": "scikit-learn-intelex",
    "skops": "skops",
    "skorch": "skorch",
    "skrub": "skrub",
    "sksurv": "scikit-survival",
    "sktime": "sktime",
    "statsmodels": "statsmodels",
    "tslearn": "tslearn",
    "umap": "umap-learn",
    "xgboost": "xgboost",
}
