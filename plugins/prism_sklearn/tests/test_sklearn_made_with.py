"""What files say of the packages that wrote them; nothing of them is loaded."""

from __future__ import annotations

import copyreg
import pickle
import sys
from types import ModuleType

import joblib
import pandas as pd
import pytest
import sklearn
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from prism_core.plugin import Artifact
from prism_sklearn import prism_inspect_artifact, prism_loaders
from prism_sklearn.audit import walking
from prism_sklearn.audit.noticing import RELEASE
from prism_sklearn.made_with import requirements

HERE = sklearn.__version__


@pytest.fixture
def asked(save):
    """Return what a pickle of something asks for, by distribution."""

    def ask(value, name="model.pkl"):
        return {one.name: one for one in requirements(save(value, name))}

    return ask


class Old:
    """A part that says of itself what an older scikit-learn said."""

    __class__ = LogisticRegression  # as pickle asks for it

    def __init__(self, version: str) -> None:
        self.version = version

    def __reduce_ex__(self, protocol):
        state = {"C": 1.0, "_sklearn_version": self.version}
        return copyreg.__newobj__, (LogisticRegression,), state


def test_the_loader_offers_it(save):
    loader = next(iter(prism_loaders()))

    assert list(loader.requirements(save(LogisticRegression())))


def test_an_estimator_says_which_release_saved_it(asked, x, y):
    found = asked(make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y))

    assert found.keys() == {"scikit-learn", "numpy"}
    assert found["scikit-learn"].pep508 == f"scikit-learn=={HERE}"
    assert found["scikit-learn"].strict
    assert found["scikit-learn"].reason == f"sklearn.pipeline.Pipeline was saved by scikit-learn {HERE}"


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_is_read(asked, protocol):
    found = asked(pickle.dumps(LogisticRegression(), protocol))

    assert found["scikit-learn"].specifier == f"=={HERE}"


@pytest.mark.parametrize(
    "compress", [0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3), ("lz4", 3)]
)
def test_compressed_files_are_read(tmp_path, x, y, compress):
    path = tmp_path / "model.joblib"
    joblib.dump(LogisticRegression().fit(x, y), path, compress=compress)

    found = {one.name: one for one in requirements(Artifact(path, path.name))}

    assert found["scikit-learn"].specifier == f"=={HERE}"
    assert found["joblib"].strict is False
    assert ("lz4" in found) == (compress != 0 and compress[0] == "lz4")


def test_skops_files_are_read(tmp_path, x, y):
    from skops import io

    path = tmp_path / "model.skops"
    io.dump(make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y), path)

    found = {one.name: one for one in requirements(Artifact(path, path.name))}

    assert found["scikit-learn"].pep508 == f"scikit-learn=={HERE}"
    assert found["scikit-learn"].reason.startswith("sklearn.pipeline.Pipeline was saved")
    assert found["skops"].pep508 == "skops"


@pytest.mark.filterwarnings("ignore:.*hasn't converged")
def test_the_version_is_found_behind_many_attributes(asked, x, y):
    """The pickle of a network has more keys than a judge remembers."""
    network = MLPClassifier(max_iter=2, hidden_layer_sizes=2, tol=10, n_iter_no_change=1).fit(x, y)

    assert len(network.__getstate__()) > 32
    assert asked(network)["scikit-learn"].reason == (
        f"sklearn.neural_network._multilayer_perceptron.MLPClassifier was saved by scikit-learn {HERE}"
    )


def test_frames_and_sparse_matrices_ask_for_their_packages_by_name(asked):
    people = pd.DataFrame({"age": [3, 4]})

    found = asked([StandardScaler().fit(people), sparse.csr_matrix(people.to_numpy()), people])

    assert {name for name, one in found.items() if not one.specifier} == {"pandas", "scipy"}
    assert found["pandas"].strict


def test_parts_of_several_releases_ask_for_the_newest(asked):
    found = asked([Old("1.2.2"), Old("1.10.0"), Old("1.9.2"), Old("1.10.0rc1")])["scikit-learn"]

    assert found.specifier == "==1.10.0"
    assert found.reason.endswith(
        "was saved by scikit-learn 1.10.0; parts of it by 1.2.2, 1.9.2, 1.10.0rc1, "
        "which may answer differently under 1.10.0"
    )


# --- numpy, and boosters -----------------------------------------------------------------------


def test_the_module_of_arrays_tells_numpy_one_from_two(asked, x, y):
    written = pickle.dumps(LogisticRegression().fit(x, y), 2)
    then = written.replace(b"cnumpy._core.", b"cnumpy.core.")
    assert then != written

    assert asked(written)["numpy"].pep508 == "numpy>=2"
    assert asked(then)["numpy"].pep508 == "numpy<2"
    assert not asked(then)["numpy"].strict


def test_releases_before_numpy_two_ask_for_numpy_one(tmp_path, x, y):
    from skops import io

    path = tmp_path / "model.skops"
    for version, numpy in (("1.4.1", "numpy<2"), ("1.4.2", "numpy")):
        io.dump(LogisticRegression().fit(x, y), path)
        _rewrite(path, HERE, version)

        found = {one.name: one for one in requirements(Artifact(path, path.name))}

        assert found["scikit-learn"].specifier == f"=={version}"
        assert found["numpy"].pep508 == numpy


def _rewrite(path, old: str, new: str) -> None:
    import zipfile

    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content.replace(old.encode(), new.encode()))


@pytest.fixture
def booster(monkeypatch):
    """Return an object that pickles as a booster of a library that is not installed here."""

    def make(module: str, state: dict[str, object]) -> object:
        made = ModuleType(module)
        made.Booster = type("Booster", (), {"__module__": module})
        for name in (module.partition(".")[0], module):
            monkeypatch.setitem(sys.modules, name, made)
        booster = made.Booster()
        vars(booster).update(state)
        return booster

    return make


# The ends of what xgboost 1.6.2, 2.0.3 and 3.2.0 wrote.
UBJSON = b"L\0\0\0\0\0\0\0\x011}}}L\0\0\0\0\0\0\0\x07version[#L\0\0\0\0\0\0\0\x03i%ci%ci%c}}"
JSON = b'"reg_loss_param":{"scale_pos_weight":"1"}}},"version":[1,6,2]}'


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize(
    ("end", "version"), [(JSON, "1.6.2"), (UBJSON % (2, 0, 3), "2.0.3"), (UBJSON % (3, 2, 0), "3.2.0")]
)
def test_a_booster_of_xgboost_says_its_release(asked, booster, protocol, end, version):
    model = booster("xgboost.core", {"handle": bytearray(b"{L" + b"x" * 9000 + end), "best_iteration": 3})

    found = asked(pickle.dumps(model, protocol))

    assert found["xgboost"].pep508 == f"xgboost=={version}"
    assert found["xgboost"].strict


@pytest.mark.parametrize("end", [b"", UBJSON % (200, 0, 0), b'"version":[1,6,"2"]}', b'"version":[1,6,2]};x'])
def test_a_booster_that_says_no_release_asks_by_name(asked, booster, end):
    model = booster("xgboost.core", {"handle": bytearray(b"x" * 9000 + end)})

    assert asked(model)["xgboost"].pep508 == "xgboost"


@pytest.mark.parametrize(
    ("form", "asks"),
    [("3", "lightgbm>=2.3,<4"), ("4", "lightgbm>=4,<5"), ("9", "lightgbm"), ("4; os_name", "lightgbm")],
)
def test_a_booster_of_lightgbm_says_its_format(asked, booster, form, asks):
    text = f"tree\nversion=v{form}\nnum_class=1\n" + "Tree=0\n" * 900

    assert asked(booster("lightgbm.basic", {"_handle": text, "params": {}}))["lightgbm"].pep508 == asks


def test_other_modules_are_asked_for_by_nobody(asked, booster):
    """A file must not choose packages of an index by name."""
    assert asked(booster("evil_package.core", {"handle": b"x" * 900})).keys() == set()


# --- strangers ---------------------------------------------------------------------------------

EVIL = [
    "1.5.2; os_name",
    "1.5.2 @ file:///x",
    "file:///etc/passwd",
    "1.5.2\n-r x",
    "٣.١.٤",
    "==1",
    "1.6.dev0",
    "",
]


@pytest.mark.parametrize("version", [*EVIL, "1" * 200])
def test_what_is_no_release_is_no_requirement(asked, version):
    found = asked(Old(version))["scikit-learn"]

    assert found.specifier == ""
    assert not found.strict
    assert len(found.reason) < 200
    assert found.reason.isascii()


def test_a_version_of_megabytes_is_passed_over(asked):
    assert asked(Old("1" * 3_000_000))["scikit-learn"].specifier == ""


@given(st.text(max_size=60) | st.from_regex(RELEASE, fullmatch=True))
@example("1.5.2\n")
def test_a_file_gets_through_what_a_release_is_and_nothing_else(tmp_path_factory, version):
    path = tmp_path_factory.getbasetemp() / "version.pkl"
    path.write_bytes(pickle.dumps(Old(version)))

    (found,) = (one for one in requirements(Artifact(path, "m.pkl")) if one.name == "scikit-learn")

    if RELEASE.fullmatch(version):
        assert found.specifier == f"=={version}"
        assert version.isascii()
    else:
        assert found.specifier == ""


@settings(max_examples=200)
@given(st.data())
def test_damaged_files_raise_nothing(tmp_path_factory, data):
    whole = pickle.dumps([Old("1.5.2"), Old("1.3.2")], 4)
    at = data.draw(st.integers(0, len(whole) - 1))
    path = tmp_path_factory.getbasetemp() / "damaged.pkl"
    path.write_bytes(
        whole[:at] + data.draw(st.binary(max_size=8)) + whole[at + data.draw(st.integers(0, 8)) :]
    )

    for one in requirements(Artifact(path, "m.pkl")):
        assert one.specifier in ("", ">=2", "<2") or RELEASE.fullmatch(one.specifier.removeprefix("=="))


def test_what_is_no_model_asks_for_nothing(asked):
    assert asked(b"nothing of the kind", "model.txt") == {}
    assert asked(b"PK\x03\x04 broken __loader__", "model.skops") == {}


def test_what_the_audit_has_walked_is_not_walked_again(save, monkeypatch):
    model = save(LogisticRegression())
    assert list(prism_inspect_artifact(model, next(iter(prism_loaders())), ())) == []
    monkeypatch.setattr(walking, "walked", lambda artifact, judge: pytest.fail("walked again"))

    assert [one.specifier for one in requirements(model) if one.name == "scikit-learn"] == [f"=={HERE}"]


def test_a_file_that_was_changed_since_its_audit_is_walked(save):
    model = save(LogisticRegression())
    assert list(prism_inspect_artifact(model, next(iter(prism_loaders())), ())) == []
    save(Old("1.5.2"))

    assert [one.specifier for one in requirements(model) if one.name == "scikit-learn"] == ["==1.5.2"]
