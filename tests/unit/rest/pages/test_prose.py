"""Markdown of somebody as HTML that does nothing."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.rest.pages.prose import html_of

TAGS = {
    "a", "blockquote", "br", "code", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "strong",
    "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {"href", "title", "rel", "class", "start"}
MARKS = "<script>|<b onclick=x>|](|[a|![|javascript:|data:text/html,|http://x|# |`|```|&lt;|&#106;|> |1. |<http://y>"
PIECES = st.sampled_from(
    [*MARKS.split("|"), "\n\n", "|a|b|\n|-|:-:|\n|c|d|\n", "<javascript:a>", '"', "'", ")"]
)


html_of("")  # the first imports what renders


class Seen(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


@given(st.lists(PIECES | st.text(max_size=5), max_size=30).map("".join))
def test_whatever_is_written_does_nothing(text):
    for tag, found in Seen(html_of(text)).tags:
        assert tag in TAGS
        assert found.keys() <= ATTRIBUTES
        assert found.get("href", "https://").lower().startswith(("http://", "https://", "mailto:"))


def test_text_is_text():
    html = html_of("# One\n\nA [link](https://example.org) and `code`.\n\n| a |\n|--:|\n| 1 |\n")

    assert "<h3>One</h3>" in html
    assert '<a href="https://example.org" rel="nofollow noopener noreferrer">link</a>' in html
    assert "<td>1</td>" in html


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "/admin/v1/models", "//evil.test", "file:///etc"]
)
def test_a_link_leads_to_the_web_or_nowhere(url):
    assert "<a" not in html_of(f"[x]({url})")
