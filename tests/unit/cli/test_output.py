import httpx
import pytest

from prism_core.cli.announce import announce
from prism_core.cli.answers import MAX_ROWS, write_answer
from prism_core.cli.commands.upload import request_of
from prism_core.cli.options import Common
from prism_core.cli.output import ago, replicas_text, write_table
from prism_core.cli.qr import qr_code
from prism_core.cli.report import tell
from prism_core.errors import ConfigError, InvalidInput

URL = "http://127.0.0.1:1/model/churn/predict"


def answer(**facts):
    return httpx.Response(200, json={"model": "churn", "version": 3, **facts})


def test_an_answer_is_a_table_with_a_column_for_each_class(capsys):
    write_answer(
        answer(
            predictions=["leaves"],
            probabilities=[[0.75, 0.25]],
            classes=["leaves", "stays"],
            warnings=["NaN"],
        ),
        as_json=False,
    )

    out, err = capsys.readouterr()
    titles, _, row = (line.split() for line in out.splitlines() if line.strip())
    assert dict(zip(titles, row, strict=True)) == {
        "ROW": "0",
        "predictions": "leaves",
        "P(leaves)": "0.75",
        "P(stays)": "0.25",
    }
    assert "churn version 3" in err
    assert "NaN" in err


@pytest.mark.parametrize("predictions", [5, [], [None], [{"a": 1}], [[1, 2], [3, 4]], ["[red]", "x" * 500]])
def test_any_answer_can_be_shown(capsys, predictions):
    write_answer(answer(predictions=predictions), as_json=False)

    assert "predictions" in capsys.readouterr().out


def test_a_long_answer_is_cut_and_says_so(capsys):
    write_answer(answer(predictions=list(range(MAX_ROWS + 5))), as_json=False)

    assert "5 more" in capsys.readouterr().out


def test_with_json_and_for_other_types_the_bytes_are_the_answers_own(capfdbinary):
    write_answer(httpx.Response(200, json={"predictions": [1]}), as_json=True)
    write_answer(httpx.Response(200, content=b"\x93NUMPY", headers={"content-type": "x/npy"}), as_json=False)

    assert capfdbinary.readouterr().out == b'{"predictions":[1]}\n\x93NUMPY'


def test_lines_of_a_table_are_never_cut(capsys):
    write_table(("URL",), [("http://" + "x" * 300,)])

    assert "x" * 300 in capsys.readouterr().out


@pytest.mark.parametrize(("passed", "text"), [(0, "just now"), (200, "3 min ago"), (7300, "2 h ago")])
def test_a_moment_is_told_by_how_long_ago_it_is(monkeypatch, passed, text):
    monkeypatch.setattr("time.time", lambda: 1e9)

    assert ago(1e9 - passed) == text


def test_replicas_are_counted_and_their_memory_added():
    ready, failed = {"state": "READY", "memory_bytes": 1 << 20}, {"state": "FAILED", "memory_bytes": None}

    assert replicas_text([ready, ready]) == ("2", "2.0 MB")
    assert replicas_text([ready, failed]) == ("1 of 2", "1.0 MB")


def test_an_error_lists_what_its_message_counts(capsys):
    errors = [
        {"row": 0, "column": "tenure", "expected": "FP64", "got": "'x'"},
        {"text": "a", "hint": "b"},
        {"other": 1},
    ]
    tell(
        InvalidInput(
            "Three faults.",
            hint="Repair.",
            details={"errors": errors, "log": ["last line"], "error_id": "e1"},
        ),
        Common(),
    )

    assert capsys.readouterr().err.splitlines() == [
        "Error: Three faults.",
        "  row 0, column tenure: expected FP64, got 'x'",
        "  a b",
        '  {"other": 1}',
        "  | last line",
        "  Repair.",
        "  error_id: e1",
    ]


def test_an_upload_is_announced_with_a_line_to_paste_and_what_comes_next(capsys, tmp_path):
    version = {"model": "churn", "version": 1, "url": URL, "warnings": ["old scikit-learn"]}

    announce(version, tmp_path / "my rows.json", Common(data_dir=tmp_path), "none")

    out, err = capsys.readouterr()
    assert "Model deployed successfully." in out
    assert f"Public endpoint: {URL}" in out
    assert f"--data-binary @'{tmp_path / 'my rows.json'}'" in out
    assert "prism share churn" in out
    assert "Authorization" not in out
    assert "old scikit-learn" in err


@pytest.mark.parametrize(("auth", "words"), [("keys", "prism keys create"), ("oidc", "identity provider")])
def test_where_callers_are_asked_who_they_are_the_line_shows_it(capsys, tmp_path, auth, words):
    version = {"model": "churn", "version": 1, "url": URL, "warnings": []}

    announce(version, tmp_path / "rows.json", Common(data_dir=tmp_path), auth)

    out = capsys.readouterr().out
    assert "Bearer $PRISM_KEY" in out
    assert words in out


def test_bytes_that_were_there_already_are_announced_as_such(capsys, tmp_path):
    version = {"model": "churn", "version": 2, "url": URL, "warnings": [], "duplicate": True}

    announce(version, tmp_path / "rows.csv", Common(data_dir=tmp_path), "none")

    assert "already version 2 of churn" in capsys.readouterr().out


def test_a_qr_code_is_drawn_with_characters():
    assert "█" in qr_code(URL)


def test_an_upload_request_says_only_what_was_said(tmp_path):
    example = tmp_path / "rows.csv"
    example.write_text("a\n1\n")

    request = request_of(
        name="", replicas=None, min_replicas=0, pin=False, options={"n": 1}, trust=(), example=example
    )

    assert request == {
        "min_replicas": 0,
        "options": {"n": 1},
        "example": "YQoxCg==",
        "example_media_type": "text/csv",
    }


def test_not_to_preload_is_said_only_when_it_is_wanted():
    assert request_of(example=None, no_preload=True) == {"preload": False}
    assert request_of(example=None, no_preload=False) == {}


def test_a_file_of_requirements_is_sent_as_what_it_says(tmp_path, capsys):
    project = tmp_path / "pyproject.toml"
    project.write_text('[project]\nrequires-python = ">=3.11"\ndependencies = ["numpy<2"]\n')
    locked = tmp_path / "locked.txt"
    locked.write_text("numpy==1.26.4 --hash=sha256:aa\n")

    assert request_of(example=None, requirements=project) == {
        "requirements": ["numpy<2"],
        "python": ">=3.11",
    }
    assert request_of(example=None, requirements=project, python="3.12")["python"] == "3.12"
    assert request_of(example=None, python="3.12") == {"python": "3.12"}
    assert request_of(example=None, requirements=locked) == {"requirements": ["numpy==1.26.4"]}
    assert "hashes" in capsys.readouterr().err


def test_a_python_that_cannot_be_had_is_refused_at_once():
    with pytest.raises(ConfigError, match=r"Python '3.9' is asked for"):
        request_of(example=None, python="3.9")
