"""What stands where no page does."""

import pytest

from prism_core.errors import InternalError, LinkExpired, LinkNotFound, ModelNotFound, RateLimited
from prism_core.rest.pages import rendering
from prism_core.rest.pages.refusing import refusal
from prism_core.rest.pages.stops import end_of, link_gate

HTML = [(b"accept", b"text/html,*/*;q=0.8")]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (LinkExpired("Over.", details={"reason": "expired"}), "Its time is over."),
        (LinkExpired("Over.", details={"reason": "used_up"}), "It has answered as often as it may."),
        (LinkNotFound("There is none.", hint="It was revoked."), "It was revoked."),
        (RateLimited("Slow.", details={"retry_after_s": 2.1}), "Try again in 3 seconds."),
        (ModelNotFound("There is no model 'chrn'."), "There is no model 'chrn'."),
    ],
)
def test_an_end_says_why_in_words(error, words):
    assert words in end_of(error).lines


@pytest.mark.parametrize(
    "path", ["/model/churn", "/model/churn@a", "/model/churn/versions/3", "/s/tk5m", "/s/tk5m/open"]
)
def test_people_get_a_page_where_pages_are(path):
    status, headers, body = refusal({"headers": HTML, "path": path}, LinkExpired("Over."))

    assert (status, dict(headers)[b"content-type"]) == (410, b"text/html; charset=utf-8")
    assert dict(headers)[b"content-length"] == b"%d" % len(body)
    assert b"content-security-policy" in dict(headers)


@pytest.mark.parametrize(
    ("path", "accept"),
    [("/model/churn", b"*/*"), ("/model/churn/predict", b"text/html"), ("/v1/models", b"text/html")],
)
def test_programs_get_a_problem(path, accept):
    _, headers, _ = refusal({"headers": [(b"accept", accept)], "path": path}, LinkExpired("Over."))

    assert dict(headers)[b"content-type"] == b"application/problem+json"


def test_headers_of_a_refusal_stay():
    error = RateLimited("Slow.", details={"retry_after_s": 2.1})

    _, headers, _ = refusal({"headers": HTML, "path": "/s/tk5m"}, error)

    assert dict(headers)[b"retry-after"] == b"3"


def test_a_fault_of_ours_tells_only_its_number():
    status, _, body = refusal({"headers": HTML, "path": "/model/churn"}, ValueError("/home/secret"))

    assert status == 500
    assert b"secret" not in body
    assert end_of(InternalError("It failed."), "abc123").lines[-1].endswith("abc123.")


def test_words_that_came_with_an_address_are_not_believed():
    gate = link_gate("tk5m", password=True, refused="<b>owned</b>")

    assert "owned" not in rendering.html("stop.html", stop=gate).decode()
