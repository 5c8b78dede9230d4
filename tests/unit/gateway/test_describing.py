"""What is said of a model: its owner's words first, then its directory's, and never too much."""

import os

import pytest

from prism_core.errors import InvalidParameter
from prism_core.gateway.describing import MAX_LENGTH, description_of


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "README.md").write_text("# Churn\n\nWho leaves next month.\n")
    return tmp_path


def test_the_owner_has_the_first_word(directory):
    assert description_of(" Mine. ", directory) == "Mine."
    assert description_of("", directory) == "# Churn\n\nWho leaves next month."


def test_a_file_and_a_silent_directory_say_nothing(directory):
    silent = directory / "empty"
    silent.mkdir()

    assert description_of("", silent) == ""
    assert description_of("", directory / "README.md") == ""


def test_facts_for_programs_are_left_out(directory):
    (directory / "README.md").write_text("---\nlicense: mit\n---\n# Churn\n---\nend")

    assert description_of("", directory) == "# Churn\n---\nend"


def test_too_much_is_refused_where_its_owner_says_it(directory):
    assert len(description_of("x" * MAX_LENGTH, directory)) == MAX_LENGTH
    with pytest.raises(InvalidParameter):
        description_of("x" * (MAX_LENGTH + 1), directory)


@pytest.mark.parametrize(
    "paragraph", ["word " * 40 + "\n\n", "x", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")]
)
def test_a_long_readme_is_cut(directory, paragraph):
    (directory / "README.md").write_bytes((paragraph * (MAX_LENGTH + 1)).encode())

    text = description_of("", directory)

    assert 0 < len(text) <= MAX_LENGTH
    assert text.endswith("\n\n…")


def test_what_is_no_plain_file_says_nothing(tmp_path):
    """A link may lead to anything that the server can read, and a pipe never ends."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    for name, make in (
        ("link", lambda path: path.symlink_to(secret)),
        ("pipe", os.mkfifo),
        ("dir", os.mkdir),
    ):
        place = tmp_path / name
        place.mkdir()
        make(place / "README.md")

        assert description_of("", place) == ""


def test_bytes_that_are_no_text_are_marked(directory):
    (directory / "README.md").write_bytes(b"caf\xe9")

    assert description_of("", directory) == "caf\ufffd"
