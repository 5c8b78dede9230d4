"""Read the documentation: headings, links, and code blocks that are marked as runnable."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@attrs.frozen
class Block:
    """A fenced code block: its language, the words behind it, its text."""

    language: str
    marks: tuple[str, ...]
    text: str


def headings(path):
    """Return the code that stands in the page's headings: ``### `prism_loaders` `` is prism_loaders."""
    return re.findall(r"^#+ `([^`]+)`", path.read_text(), re.M)


def blocks(path):
    """Return the page's fenced code blocks, in order."""
    fences = re.findall(r"^```(\S*)([^\n]*)\n(.*?)^```", path.read_text(), re.M | re.S)
    return [Block(language, tuple(marks.split()), text) for language, marks, text in fences]


@pytest.fixture
def reference():
    """Return the headings of a reference page, each once."""

    def reference(name):
        found = headings(DOCS / "reference" / f"{name}.md")
        assert len(found) == len(set(found))
        return set(found)

    return reference


@pytest.fixture
def read_blocks():
    """Return the code blocks of a page."""
    return lambda page: blocks(DOCS / page)


@pytest.fixture
def read_section():
    """Return the text below a heading, up to the next one."""

    def read_section(page, heading):
        text = (DOCS / page).read_text()
        return re.search(rf"^#+ `{re.escape(heading)}`\n(.*?)(?=^#|\Z)", text, re.M | re.S)[1]

    return read_section


@pytest.fixture
def read_page():
    """Return the text of a page."""
    return lambda page: (DOCS / page).read_text()
