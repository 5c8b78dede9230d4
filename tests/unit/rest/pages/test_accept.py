"""Who gets a page, and who JSON."""

import pytest

from prism_core.rest.pages.accept import wants_page


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
        "text/html, application/json;q=0.9",
        "TEXT/HTML;q=0.9, */*;q=0.8".lower(),
        "application/json;q=0.1, text/html;level=1;q=0.5",
    ],
)
def test_browsers_get_a_page(accept):
    assert wants_page(accept)


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "application/json",
        "application/json, text/html",
        "text/html, */*",
        "application/json, text/html;q=0.9",
        "text/html;q=0",
        "text/html;q=x",
        "text/html;q=nan",
        "text/*",
        "application/xhtml+xml",
    ],
)
def test_programs_get_json(accept):
    assert not wants_page(accept)
