"""Train a pipeline, save it, and print what it answers here: ``train.py FILE``; run in other environments."""

import json
import pickle
import sys

import numpy as np
import pandas as pd
import sklearn
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

ASKED = 20

generator = np.random.default_rng(5)
rows = pd.DataFrame(
    {
        "tenure": generator.integers(0, 60, 200),
        "charge": generator.normal(50, 20, 200),
        "plan": generator.choice(["basic", "plus", "pro"], 200),
    }
)
leaves = np.where(rows["tenure"] + generator.normal(0, 9, 200) < 20, "leaves", "stays")
columns = ColumnTransformer(
    [
        ("numbers", StandardScaler(), ["tenure", "charge"]),
        ("plan", OneHotEncoder(sparse_output=False), ["plan"]),
    ]
)
voters = [
    ("line", LogisticRegression()),
    ("forest", RandomForestClassifier(20, random_state=0)),
    ("boosting", HistGradientBoostingClassifier(max_iter=10)),
]
model = make_pipeline(columns, VotingClassifier(voters, voting="soft")).fit(rows, leaves)
with open(sys.argv[1], "wb") as file:
    pickle.dump(model, file)
asked = rows.head(ASKED)
print(
    json.dumps(
        {
            "framework": f"sklearn {sklearn.__version__}",
            "python": ".".join(map(str, sys.version_info[:3])),
            "rows": asked.to_dict("records"),
            "predictions": model.predict(asked).tolist(),
            "probabilities": model.predict_proba(asked).tolist(),
        }
    )
)
