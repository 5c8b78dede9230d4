"""What a model's page says of it in words: its owner's, else the README.md of a directory.

Markdown. It is text for people and nothing else: it is kept with the version, shown, and never run.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from prism_core.errors import InvalidParameter

# As long as anybody reads on such a page; lists of models hold each one's.
MAX_LENGTH = 8192
README = ("README.md", "readme.md", "Readme.md")
_MORE = "\n\n…"
# Some READMEs begin with facts for programs, between lines of three dashes.
_FRONT = re.compile(r"\A---\s*\n.*?\n---\s*(\n|\Z)", re.DOTALL)


def description_of(said: str, artifact: Path) -> str:
    """Return what is said of a model, else what its directory says, "" for nothing.

    Raises
    ------
    InvalidParameter
        If its owner says more than anybody reads.
    """
    if len(said) > MAX_LENGTH:
        raise InvalidParameter(
            f"The description has {len(said)} characters; {MAX_LENGTH} are kept.",
            hint="Say in short what goes in and what comes out.",
        )
    return said.strip() or _readme(artifact)


def _readme(directory: Path) -> str:
    for name in README if directory.is_dir() else ():
        text = _text(directory / name)
        if text:
            return _cut(_FRONT.sub("", text).strip())
    return ""


def _text(path: Path) -> str:
    """Return the beginning of a plain file; "" of anything else: a link may lead out of the directory."""
    try:
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return ""
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        return ""
    with open(number, "rb") as file:
        return file.read(4 * MAX_LENGTH).decode("utf-8", "replace").replace("\r\n", "\n")


def _cut(text: str) -> str:
    """Return no more than is kept, ended where a paragraph does if there is one."""
    if len(text) <= MAX_LENGTH:
        return text
    head = text[: MAX_LENGTH - len(_MORE)]
    paragraphs, end, _ = head.rpartition("\n\n")
    return (paragraphs if end else head) + _MORE
