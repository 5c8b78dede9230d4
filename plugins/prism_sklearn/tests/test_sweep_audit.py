"""No false alarm on what scikit-learn can fit; no way past the audit for files damaged at random."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import pickle
import random
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import skops.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from prism_core.plugin import Artifact, ArtifactError, PrismError
from prism_core.testing.fuzzing import damage, fuzz
from prism_sklearn import SklearnOptions
from prism_sklearn.audit import findings
from prism_sklearn.audit.noticing import RELEASE
from prism_sklearn.content import looks_pickled, opening
from prism_sklearn.loading import read_estimator
from prism_sklearn.made_with import requirements

HERE = Path(__file__).parent
# What pickles are made of: opcodes that call, look up, fill and remember, and names to call.
TOKENS = [
    *(bytes([code]) for code in b"Rbco\x81\x92\x93\x94012aesu\x90.(t]})N\x85\x86\x95\x8e"),
    b"q\0", b"h\0", b"cos\nsystem\n", b"ios\nsystem\n", b"cnumpy\nload\n", b"cbuiltins\neval\n",
    b"\x8c\x02os", b"\x8c\x06system", b"\x8c\x06system\x93",
]  # fmt: skip


def module_at(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# A name of the table and a release, or a range that the plugin wrote.
PROPER = re.compile(rf"[a-z0-9-]+(?:==(?:{RELEASE.pattern})|(?:>=|<)[0-9.]+(?:,<[0-9]+)?)?")


class Refusal(Exception):
    """The audit found something."""


class Door:
    """Audits bytes by way of a file, asks what they were made with, and keeps what it lets in."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "model.pkl"
        self.let_in: list[bytes] = []

    def __call__(self, body: bytes) -> None:
        self.path.write_bytes(body)
        artifact = Artifact(self.path, "model.pkl")
        found = list(findings(artifact))
        if found:
            # Raised where the finding was made: a new kind of finding is a new place.
            kind = found[0].message.partition("(byte")[0][:60]
            raise KINDS.setdefault(kind, type("Kind", (Refusal,), {}))(found[0].message)
        assert all(PROPER.fullmatch(one.pep508) for one in requirements(artifact))
        # The loader unpickles nothing that does not begin as a pickle does.
        if looks_pickled(opening(artifact)) and len(self.let_in) < 2000:
            self.let_in.append(body)


KINDS: dict[str, type[Refusal]] = {}


@pytest.fixture(scope="module")
def seeds() -> list[bytes]:
    """Return small good files of every kind, and attacks."""
    x = np.arange(12.0).reshape(6, 2)
    y = np.array([0, 1, 0, 1, 0, 1])
    frame = pd.DataFrame({"a": x[:, 0], "b": ["u", "v"] * 3})
    columns = make_column_transformer((OneHotEncoder(), ["b"]), (StandardScaler(), ["a"])).fit(frame)
    fitted = [
        LinearRegression().fit(x, y),
        columns,
        make_pipeline(StandardScaler(), KNeighborsClassifier(2)).fit(x, y),
        RandomForestClassifier(2, max_depth=1).fit(x, y),
        HistGradientBoostingClassifier(max_iter=1).fit(x, y),
    ]
    good = [pickle.dumps(one, protocol) for one in fitted for protocol in (0, 2, 4, 5)]
    for one in fitted[:2]:
        for compress in (0, ("zlib", 1), ("bz2", 1)):
            file = io.BytesIO()
            joblib.dump(one, file, compress=compress)
            good.append(file.getvalue())
    good.append(skops.io.dumps(fitted[0]))
    bad = [attack.make(Path("/nowhere")) for attack in module_at(HERE / "attacks.py").attacks()]
    return good + [one for one in bad if len(one) < 4000]


@pytest.fixture(scope="module")
def let_in(seeds, tmp_path_factory) -> list[bytes]:
    """Damage the seeds and return what the audit lets in."""
    door = Door(tmp_path_factory.mktemp("door"))
    report = fuzz(door, seeds, cases=30_000, allowed=(Refusal, ArtifactError), tokens=TOKENS)

    assert report.refused > report.cases // 2
    assert report.places > 20
    return door.let_in


@pytest.mark.sweep
def test_no_damage_makes_the_audit_fail_or_hang(let_in):
    assert len(let_in) > 200


# Loads by Python's, C's and joblib's unpicklers, each without any list; stops at a name that ours lacks.
_WATCHED = """
import base64, io, json, pickle, sys, warnings
import joblib, pandas, sklearn.ensemble, skops.io
from prism_sklearn.audit.admitted import Admitted
from prism_sklearn.audit.values import Kind

class Foreign(BaseException):
    pass

FORBIDDEN = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen", "ctypes.dlopen")

def in_python(data):
    return pickle._Unpickler(io.BytesIO(data)).load()

def by_joblib(data):
    return joblib.load(io.BytesIO(data))

admitted, watching, foreign = Admitted(), False, []

def watch(event, arguments):
    if not watching:
        return
    if event == "pickle.find_class":
        if admitted.kind(*arguments) is Kind.UNKNOWN:
            foreign.append(arguments)
            raise Foreign(arguments)
    elif event in FORBIDDEN or (event == "exec" and arguments[0].co_filename == "<string>"):
        foreign.append((event, str(arguments)[:200]))
        raise Foreign(event)

sys.addaudithook(watch)
loaded = 0
for line in sys.stdin:
    body = base64.b64decode(line)
    for load in (pickle.loads, in_python, by_joblib):
        watching = True
        try:
            load(body)
            loaded += 1
        except Foreign:
            print("foreign:", foreign[-1], body.hex(), file=sys.stderr)
        except BaseException:
            pass
        watching = False
print(json.dumps({"loaded": loaded, "foreign": len(foreign)}))
"""


@pytest.mark.sweep
def test_what_it_lets_in_looks_up_no_other_name_in_any_unpickler(let_in):
    """The audit sees what C's, Python's and joblib's unpicklers see, or it does not let the file in."""
    lines = b"\n".join(map(base64.b64encode, let_in))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _WATCHED], input=lines, capture_output=True, timeout=250
    )

    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told["foreign"] == 0, sorted({line[:160] for line in done.stderr.decode().splitlines()})[:12]
    assert told["loaded"] > 100


@pytest.mark.sweep
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    body=st.binary(max_size=300),
    prefix=st.sampled_from([b"\x80\x04", b"\x80\x02", b"c", b"(", b"\x78\x9c", b""]),
    seed=st.integers(0),
)
def test_bytes_of_no_meaning_are_refused_or_harmless(seeds, tmp_path_factory, body, prefix, seed):
    door = Door(tmp_path_factory.getbasetemp())
    chance = random.Random(seed)
    for one in (prefix + body, zlib.compress(prefix + body), damage(chance.choice(seeds), chance, [body])):
        try:
            door(one)
        except (Refusal, ArtifactError):
            pass


def files_of(estimator: Any) -> dict[str, bytes]:
    """Return an estimator in the forms in which people save it."""
    plain, packed = io.BytesIO(), io.BytesIO()
    joblib.dump(estimator, plain)
    joblib.dump(estimator, packed, compress=3)
    return {
        "old.pkl": pickle.dumps(estimator, 2),
        "new.pkl": pickle.dumps(estimator, 5),
        "plain.joblib": plain.getvalue(),
        "packed.joblib": packed.getvalue(),
    }


def unasked_of(artifact: Artifact) -> Iterator[str]:
    """Yield a complaint unless a file asks for the scikit-learn that is here."""
    asked = {one.name: one.specifier for one in requirements(artifact)}
    if asked.get("scikit-learn") != f"=={sklearn.__version__}":
        yield f"asks for {asked}"


def alarms_of(artifact: Artifact, estimator: Any) -> Iterator[str]:
    yield from (one.message for one in findings(artifact))
    yield from unasked_of(artifact)
    try:
        loaded = read_estimator(artifact, SklearnOptions())
    except PrismError as error:
        yield error.message
    else:
        if type(loaded) is not type(estimator):
            yield f"loaded as a {type(loaded)}"


@pytest.mark.sweep
@pytest.mark.filterwarnings("ignore")
def test_no_false_alarm_on_anything_that_is_fitted(tmp_path):
    """Every estimator in every configuration of the corpus passes, and loads with the same list."""
    corpus = module_at(HERE.parent / "tools" / "corpus.py").corpus()
    alarms, count = [], 0
    for name, estimator in corpus:
        for file, data in files_of(estimator).items():
            (tmp_path / file).write_bytes(data)
            alarms += [(name, file, text) for text in alarms_of(Artifact(tmp_path / file, file), estimator)]
            count += 1

    assert alarms == []
    assert count > 2000


@pytest.mark.sweep
@pytest.mark.filterwarnings("ignore")
def test_no_false_alarm_on_skops(tmp_path):
    """Every estimator that skops can save; what an estimator may hold beside it is the pickles' matter."""
    cases, count = module_at(HERE / "sweep_estimators.py"), 0
    for name in cases.names():
        # skops saves no Birch; the others are fitted otherwise.
        if name in ("Birch", "MultiLabelBinarizer") or name.startswith("Halving"):
            continue
        path = tmp_path / "model.skops"
        skops.io.dump(cases.case(name).estimator, path)
        count += 1
        assert list(findings(Artifact(path, path.name))) == [], name
        assert list(unasked_of(Artifact(path, path.name))) == [], name

    assert count > 180
