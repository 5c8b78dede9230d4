"""``prism feedback``: what a file may be, how it is sent, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from prism_core.cli.client import Address, AdminClient
from prism_core.cli.commands.feedback import AT_ONCE, read, sent
from prism_core.cli.progress import Progress
from prism_core.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "items"),
    [
        (
            "request_id,label\na,yes\nb,no\n",
            [{"request_id": "a", "label": "yes"}, {"request_id": "b", "label": "no"}],
        ),
        ('request_id,labels\na,"[1, 0]"\n', [{"request_id": "a", "labels": [1, 0]}]),
        (
            "request_id,reward,correct\na,0.5,\nb,,yes\nc,,False\n",
            [
                {"request_id": "a", "reward": 0.5},
                {"request_id": "b", "correct": True},
                {"request_id": "c", "correct": False},
            ],
        ),
        ("model,request_id,label\nm,a,1\n", [{"model": "m", "request_id": "a", "label": "1"}]),
        (
            '{"request_id": "a", "label": 1}\n\n {"request_id": "b"}\n',
            [{"request_id": "a", "label": 1}, {"request_id": "b"}],
        ),
        ("request_id,label\n", []),
    ],
)
def test_files(text, items):
    assert list(read(text)) == items


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "request_id is missing"),
        ("id,label\na,1\n", "'id'"),
        ("request_id,lable\na,1\n", "'lable'"),
        ("request_id,label\na\n", "Line 2"),
        ("request_id,label\na,1,2\n", "Line 2"),
        ("request_id,reward\na,much\n", "'much'"),
        ("request_id,labels\na,[1\n", "Line 2 is no JSON"),
        ('{"request_id": "a"}\n{"request\n', "Line 2 is no JSON"),
        ('{"request_id": "a"}\n[1]\n', "Line 2 is no JSON object"),
    ],
)
def test_files_that_are_none(text, said):
    with pytest.raises(InvalidInput, match=said):
        list(read(text))


def test_many_are_sent_in_several_requests():
    """Each error is told with its place in the file."""
    sizes = []

    def answer(request: httpx.Request) -> httpx.Response:
        items = json.loads(request.content)
        sizes.append(len(items))
        refused = {"index": 1, "request_id": "x", "code": "answer_not_found", "detail": "No.", "hint": ""}
        told = {"judged": len(items) - 1, "repeated": 0, "refused": 1, "errors": [refused]}
        return httpx.Response(200, json=told)

    client = AdminClient(Address("http://server", "token"), httpx.MockTransport(answer))
    told = sent(client, [{"request_id": str(number)} for number in range(2 * AT_ONCE + 500)], Progress())

    assert sizes == [AT_ONCE, AT_ONCE, 500]
    assert (told["judged"], told["refused"]) == (2497, 3)
    assert [error["index"] for error in told["errors"]] == [1, AT_ONCE + 1, 2 * AT_ONCE + 1]


def test_a_file_of_a_spreadsheet(tmp_path: Path):
    """With the mark that Windows puts in front."""
    path = tmp_path / "labels.csv"
    path.write_text("\ufeffrequest_id,label\r\na,1\r\n")

    assert list(read(path.read_text("utf-8-sig"))) == [{"request_id": "a", "label": "1"}]


def test_a_file_that_is_no_text(prism, tmp_path: Path):
    (tmp_path / "churn.pkl").write_bytes(b"\x80\x04")
    run = prism("feedback", str(tmp_path / "churn.pkl"))

    assert run.exit_code == 1
    assert "churn.pkl is no text in UTF-8." in run.output
