"""Files of requirements, a line each, as pip reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import attrs

from prism_core.environments.needs import parsed_requirement
from prism_core.errors import ConfigError

# A lock of a thousand packages with all their hashes has some hundred kilobytes.
LARGEST_BYTES = 4 << 20
_DEEPEST = 10

_COMMENT = re.compile(r"(?:^|\s)#.*")
_HASH = re.compile(r"\s--hash[=\s]\s*\S+")
_INCLUDE = re.compile(r"(?:-r|--requirement(?=[=\s]))[=\s]*(?P<file>\S.*)")
_EDITABLE = re.compile(r"(?:-e|--editable)\b")
_INDEX = re.compile(r"(?:-i|-f|--index-url|--extra-index-url|--find-links|--no-index|--trusted-host)\b")
# What says how to install and not what; only wheels are installed anyway.
_IGNORED = re.compile(r"(?:--only-binary|--prefer-binary|--require-hashes)\b")


@attrs.frozen
class Stated:
    """What was written down.

    Parameters
    ----------
    requirements
        As PEP 508 writes them, with their markers.
    python
        A version or a range, "" where none is stated.
    notes
        What was left out of it, a sentence each.
    """

    requirements: tuple[str, ...] = ()
    python: str = ""
    notes: tuple[str, ...] = ()


def text_of(path: Path) -> str:
    """Return the text of a file that a person wrote.

    Raises
    ------
    ConfigError
        If there is none, or if it is too large to be one.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
        if len(content) > LARGEST_BYTES:
            raise ConfigError(
                f"{path.name!r} has more than {LARGEST_BYTES >> 20} MB, which none of its kind has."
            )
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"There is no file {str(path)!r}.", hint="Check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{str(path)!r} cannot be read: {error}.") from None


def stated_by_lines(text: str, path: Path) -> Stated:
    """Return what lines ask for; ``path`` is the file in which they stand."""
    lines = Lines()
    return Stated(tuple(lines.of(text, path)), notes=tuple(lines.notes))


class Lines:
    """Reads lines, and the files that they include.

    Parameters
    ----------
    tolerant
        Note what cannot be taken instead of raising, and include nothing: for what a stranger wrote.
    """

    def __init__(self, *, tolerant: bool = False) -> None:
        self.notes: dict[str, None] = {}
        self._tolerant = tolerant
        self._open: list[Path] = []

    def of(self, text: str, path: Path) -> Iterator[str]:
        """Yield the requirements in a text.

        Raises
        ------
        ConfigError
            With file and line.
        """
        for number, line in _logical(text):
            try:
                yield from self._one(line, path)
            except ConfigError as error:
                place = f"{path.name}, line {number}: "
                # An included file has said its own place.
                message = error.message if error.details.get("placed") else place + error.message
                if not self._tolerant:
                    raise ConfigError(message, hint=error.hint, details={"placed": True}) from None
                self.notes[f"{message} Left out."] = None

    def _one(self, line: str, path: Path) -> Iterator[str]:
        line, hashes = _HASH.subn("", line)
        if hashes:
            self.notes[f"The hashes in {path.name} are not compared: versions alone decide."] = None
        if include := _INCLUDE.fullmatch(line):
            yield from self._included(path.parent / include["file"].strip(" \"'"))
        elif _IGNORED.match(line):
            self.notes[f"{line.split('=')[0].split()[0]} in {path.name} changes nothing here."] = None
        elif line.startswith("-"):
            raise _refused(line)
        else:
            parsed_requirement(line)
            yield " ".join(line.split())

    def _included(self, path: Path) -> Iterator[str]:
        if self._tolerant:
            raise ConfigError("Files are not included here.")
        whole = path.resolve()
        if whole in self._open or len(self._open) > _DEEPEST:
            raise ConfigError(f"It includes {path.name!r}, which is being read already.")
        self._open.append(whole)
        yield from self.of(text_of(path), path)
        self._open.pop()


def _refused(line: str) -> ConfigError:
    option = line.split("=")[0].split()[0]
    if _EDITABLE.match(line):
        return ConfigError(
            f"{option} installs from a directory of this machine; only packages of an index are installed.",
            hint="Publish it to an index that the server's uv knows, or leave the line out.",
        )
    if _INDEX.match(line):
        return ConfigError(
            f"{option} chooses a package index, which is the server's to choose.",
            hint="Set it for uv where the server runs: UV_INDEX_URL, or its uv.toml. Leave the line out.",
        )
    return ConfigError(f"The option {option} is not taken here.", hint="Leave the line out.")


def _logical(text: str) -> Iterator[tuple[int, str]]:
    """Yield lines without comments, those joined that end in a backslash, with the number of the first."""
    begun, parts = 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        begun = begun or number
        bare = _COMMENT.sub("", line)
        goes_on = bare.rstrip().endswith("\\")
        parts.append(bare.rstrip().removesuffix("\\") if goes_on else bare)
        if not goes_on:
            yield from _whole(begun, parts)
            begun, parts = 0, []
    yield from _whole(begun, parts)


def _whole(number: int, parts: list[str]) -> Iterator[tuple[int, str]]:
    if whole := "".join(parts).strip():
        yield number, whole
