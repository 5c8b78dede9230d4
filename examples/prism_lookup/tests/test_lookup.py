import json

import numpy as np
import prism_lookup
import pytest

from prism_core.plugin import Artifact, Batch, ModelLoadFailed
from prism_core.testing import LoaderContract

CITIES = {"format": "lookup", "key": "city", "default": 1.0, "values": {"Paris": 3.2, "Rome": 2.1}}


class TestLookup(LoaderContract):
    """Everything that PRISM expects of a loader."""

    plugin = prism_lookup
    options = {"scale": 2}

    def artifact(self, directory):
        path = directory / "cities.lookup.json"
        path.write_text(json.dumps(CITIES))
        return path

    def inputs(self):
        return Batch({"city": np.array(["Rome", "Paris", "Oslo"], dtype=object)})

    def expected(self):
        return {"predictions": [4.2, 6.4, 2.0]}


def test_an_unknown_key_without_a_default_has_no_answer(tmp_path):
    path = tmp_path / "stored"
    path.write_text(json.dumps({**CITIES, "default": None}))
    model = prism_lookup.load(Artifact(path, "cities.lookup.json"), prism_lookup.LookupOptions())

    answer = model.predict(Batch({"city": np.array(["Oslo"], dtype=object)}))

    assert np.isnan(answer["predictions"]).all()


def test_a_table_without_values_says_what_is_missing(tmp_path):
    path = tmp_path / "stored"
    path.write_text('{"format": "lookup", "key": "city"}')

    with pytest.raises(ModelLoadFailed, match="values"):
        prism_lookup.load(Artifact(path, "cities.lookup.json"), prism_lookup.LookupOptions())
