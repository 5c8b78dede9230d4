"""A description, as its owner wrote it in Markdown, as HTML that can do nothing.

No HTML of its own, no pictures (they would be fetched from elsewhere, and tell who looks), and links
only to where links of a page may lead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from markupsafe import Markup

_SAFE = re.compile(r"(https?://|mailto:)", re.IGNORECASE)
# The page has a heading of its own above.
_BELOW = 2


# A description is shown as often as its page.
KEPT = 64


@lru_cache(maxsize=KEPT)
def html_of(text: str) -> Markup:
    """Return Markdown as safe HTML."""
    return Markup(_markdown().render(text))  # made by a renderer that lets no HTML through


@lru_cache(maxsize=1)
def _markdown() -> Any:
    from markdown_it import MarkdownIt  # of no use before the first description is shown

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    markdown.validateLink = lambda url: bool(_SAFE.match(url))  # type: ignore[method-assign]
    markdown.add_render_rule("link_open", _link)
    markdown.add_render_rule("heading_open", _heading)
    markdown.add_render_rule("heading_close", _heading)
    for cell in ("td_open", "th_open"):
        markdown.add_render_rule(cell, _cell)
    return markdown


def _link(renderer: Any, tokens: Sequence[Any], at: int, options: Any, env: Any) -> str:
    tokens[at].attrSet("rel", "nofollow noopener noreferrer")
    return str(renderer.renderToken(tokens, at, options, env))


def _heading(renderer: Any, tokens: Sequence[Any], at: int, options: Any, env: Any) -> str:
    tokens[at].tag = f"h{min(6, int(tokens[at].tag[1]) + _BELOW)}"
    return str(renderer.renderToken(tokens, at, options, env))


def _cell(renderer: Any, tokens: Sequence[Any], at: int, options: Any, env: Any) -> str:
    tokens[at].attrs.pop("style", None)  # the page's policy lets no style in but its own
    return str(renderer.renderToken(tokens, at, options, env))
