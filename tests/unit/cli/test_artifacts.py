import io
import os
import tarfile

import pytest

from prism_core.cli.artifacts import Source, fetch, located, tar_of
from prism_core.errors import ArtifactError


@pytest.fixture
def model(tmp_path):
    """Return a directory with a model of several files."""
    root = tmp_path / "digits"
    (root / "weights").mkdir(parents=True)
    (root / "model.onnx").write_bytes(b"graph")
    (root / "weights" / "a.bin").write_bytes(b"x" * 1000)
    (root / f"{'long' * 40}.bin").write_bytes(b"y" * 512)
    (root / "empty").write_bytes(b"")
    return root


def test_a_directory_is_sent_as_a_tar_of_its_files(model):
    data = b"".join(Source.of(model).chunks())

    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar}
    assert found == {
        "empty": b"",
        "model.onnx": b"graph",
        "weights/a.bin": b"x" * 1000,
        f"{'long' * 40}.bin": b"y" * 512,
    }


def test_the_same_files_are_the_same_bytes(model):
    before = b"".join(tar_of(model))
    os.utime(model / "model.onnx", (1, 1))
    (model / "model.onnx").chmod(0o600)

    assert b"".join(tar_of(model)) == before


def test_a_link_to_a_file_is_its_content(model, tmp_path):
    (tmp_path / "blob").write_bytes(b"blob")
    (model / "linked").symlink_to(tmp_path / "blob")
    (model / "dangling").symlink_to(tmp_path / "nowhere")

    with tarfile.open(fileobj=io.BytesIO(b"".join(tar_of(model)))) as tar:
        assert tar.extractfile("linked").read() == b"blob"
        assert "dangling" not in tar.getnames()


def test_a_file_that_grows_while_it_is_sent_is_an_error(model):
    path = model / "model.onnx"
    chunks = tar_of(model)
    while b"model.onnx" not in next(chunks):
        pass
    path.write_bytes(b"graph and more")

    with pytest.raises(ArtifactError, match="changed while it was sent"):
        list(chunks)


def test_a_directory_has_the_name_it_is_known_by(model, monkeypatch):
    monkeypatch.chdir(model)

    assert Source.of(model).name == "digits"
    assert Source.of(type(model)(".")).name == "digits"


@pytest.mark.parametrize("name", ["nowhere", "empty", "hollow"])
def test_nothing_to_send_is_an_error(tmp_path, name):
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "hollow").mkdir()

    with pytest.raises(ArtifactError):
        Source.of(tmp_path / name)


def test_a_file_uri_is_its_file(tmp_path):
    path = tmp_path / "my model.pkl"
    path.write_bytes(b"x")

    with located(path.as_uri()) as source:
        assert source.path == path


def test_an_address_that_nobody_fetches_is_an_error(tmp_path):
    with pytest.raises(ArtifactError, match="s3://"):
        fetch("s3://bucket/model.pkl", tmp_path)
