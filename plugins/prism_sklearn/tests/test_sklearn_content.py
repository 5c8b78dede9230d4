"""Files are told by their first bytes, and nothing of them is executed."""

from __future__ import annotations

import bz2
import io
import pickle
import subprocess
import sys
import zipfile

import joblib
import pytest
from sklearn.linear_model import LinearRegression

from prism_core.plugin import Artifact
from prism_sklearn import prism_inspect_artifact, prism_loaders
from prism_sklearn.content import PREFIX_BYTES, opening, recognises


@pytest.fixture
def line(x):
    return LinearRegression().fit(x, x.sum(axis=1))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_pickle_protocol_is_recognised(save, line, protocol):
    assert recognises(save(pickle.dumps(line, protocol))) == 0.9


@pytest.mark.parametrize(
    "compress", [0, *((kind, 3) for kind in ("zlib", "gzip", "bz2", "lzma", "xz", "lz4"))]
)
def test_every_joblib_compression_is_recognised(tmp_path, line, compress):
    joblib.dump(line, tmp_path / "m", compress=compress)

    assert recognises(Artifact(tmp_path / "m", "m")) == 0.9


def test_skops_is_told_from_other_zips(tmp_path, line, save):
    import skops.io

    skops.io.dump(line, tmp_path / "m.skops")
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("word/document.xml", "<xml/>")

    assert recognises(Artifact(tmp_path / "m.skops", "m.skops")) == 0.95
    assert recognises(save(other.getvalue(), "letter.docx")) == 0.0


@pytest.mark.parametrize(
    "data", [b"", b"a,b\n1,2\n", b"\x89PNG\r\n", b"cat\ndog\n1 2\n"[1:], b"x\x9cnot zlib"]
)
def test_what_is_no_pickle_is_not_ours(save, data):
    assert recognises(save(data, "data.bin")) == 0.0


def test_a_damaged_file_with_our_suffix_comes_to_us_only_if_nobody_else_wants_it(save):
    assert 0 < recognises(save(b"\x89PNG\r\n", "model.pkl")) < 0.1


def test_a_pickle_of_something_else_is_less_sure_than_a_model(save):
    assert recognises(save(pickle.dumps({"a": 1}), "a.pkl")) == 0.5
    assert recognises(save(pickle.dumps({"a": 1}, 0), "a.pkl")) == 0.5
    assert recognises(save(pickle.dumps({"a": 1}), "a.bin")) == 0.4


def test_looking_executes_nothing(save, tmp_path):
    class Payload:
        def __reduce__(self):
            return open, (str(tmp_path / "touched"), "w")

    artifact = save(pickle.dumps(Payload()))
    recognises(artifact)
    list(prism_inspect_artifact(artifact, next(iter(prism_loaders())), ()))

    assert not (tmp_path / "touched").exists()


def test_a_bomb_is_opened_no_further_than_its_first_bytes(save):
    bomb = bz2.compress(b"\0" * (1 << 26))

    assert len(opening(save(bomb))) <= PREFIX_BYTES


def test_importing_the_plugin_imports_no_framework():
    code = (
        "import sys, prism_sklearn; list(prism_sklearn.prism_loaders());"
        "print([m for m in ('sklearn', 'pandas', 'joblib', 'scipy', 'skops') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
