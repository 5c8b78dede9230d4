"""Every attack is blocked before the load, and by the load where it comes so far."""

from __future__ import annotations

import importlib.util
import pickle
import subprocess
import sys
from collections import OrderedDict, defaultdict
from pathlib import Path

import pytest

from prism_core.plugin import Artifact, ArtifactError, ModelLoadFailed, PrismError, Severity
from prism_sklearn import SklearnOptions, prism_inspect_artifact, prism_loaders
from prism_sklearn.audit.admitted import Admitted
from prism_sklearn.audit.values import Kind

_spec = importlib.util.spec_from_file_location("attacks", Path(__file__).parent / "attacks.py")
assert _spec
assert _spec.loader
corpus = sys.modules["attacks"] = importlib.util.module_from_spec(
    _spec
)  # attrs looks its classes' modules up
_spec.loader.exec_module(corpus)

LOADER = next(iter(prism_loaders()))
ATTACKS = corpus.attacks()


# Unpickles each file as people do, whatever it raises, in a process that is thrown away.
_CARELESS = """
import sys, joblib
for path in sys.argv[1:]:
    try:
        joblib.load(path)
    except BaseException as error:
        print(path, repr(error)[:200])
"""


@pytest.fixture(params=ATTACKS, ids=lambda attack: attack.name)
def attack(request):
    return request.param


def written(attack, directory):
    marker, path = directory / "marker", directory / f"model{attack.suffix}"
    path.write_bytes(attack.make(marker))
    return marker, Artifact(path, path.name)


def test_there_are_many_and_no_two_have_one_name():
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 120


def test_it_is_blocked_and_nothing_of_it_runs(attack, tmp_path):
    marker, artifact = written(attack, tmp_path)
    try:
        found = list(prism_inspect_artifact(artifact, LOADER, ()))
    except ArtifactError as error:
        found = [error]
    if not found:  # it does not begin as a pickle does, so nothing would unpickle it
        with pytest.raises(ModelLoadFailed, match="is no pickle"):
            LOADER.load(artifact, SklearnOptions())

    assert all(one.hint and getattr(one, "severity", Severity.BLOCK) is Severity.BLOCK for one in found)
    assert not marker.exists()


@pytest.mark.parametrize(
    "attack", [one for one in ATTACKS if not one.exhausts], ids=lambda attack: attack.name
)
def test_the_load_runs_nothing_of_it_either(attack, tmp_path):
    """Even a file that nobody inspected: the same list stands before every name."""
    marker, artifact = written(attack, tmp_path)
    try:
        LOADER.load(artifact, SklearnOptions())
    except PrismError:
        pass  # most; some load into an object that does no harm

    assert not marker.exists()


def test_they_are_real(tmp_path):
    """An ordinary load runs each of those that say so."""
    files = {}
    for number, attack in enumerate(one for one in ATTACKS if one.fires):
        directory = tmp_path / str(number)
        directory.mkdir()
        files[attack.name] = written(attack, directory)
    paths = [str(artifact.path) for _, artifact in files.values()]
    done = subprocess.run(
        [sys.executable, "-c", _CARELESS, *paths], capture_output=True, text=True, timeout=100
    )

    assert [name for name, (marker, _) in files.items() if not marker.exists()] == [], done.stdout


def test_a_dict_of_ordered_dicts_is_no_attack(tmp_path):
    """Boosters of lightgbm keep their best scores in one."""
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(defaultdict(OrderedDict, {"training": OrderedDict(auc=1.0)})))

    assert list(prism_inspect_artifact(Artifact(path, path.name), LOADER, ())) == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("_loss.__pyx_unpickle_CyPinballLoss", Kind.CALLED),
        ("sklearn._loss._loss.__pyx_unpickle_CyHuberLoss", Kind.CALLED),
        ("sklearn.ensemble._gb_losses.BinomialDeviance", Kind.CLASS),
        ("sklearn.metrics._scorer._PredictScorer", Kind.CLASS),
        ("sklearn.metrics._dist_metrics.EuclideanDistance", Kind.VALUE),
        ("sklearn.metrics._dist_metrics.PyFuncDistance", Kind.UNKNOWN),
        ("sklearn.ensemble._gb_losses.LOSS_FUNCTIONS", Kind.UNKNOWN),
        ("sklearn._loss._loss.__pyx_unpickle_Enum", Kind.UNKNOWN),
    ],
)
def test_names_of_older_releases_are_admitted_one_by_one(path, kind):
    module, _, name = path.rpartition(".")

    assert Admitted().kind(module, name) is kind
