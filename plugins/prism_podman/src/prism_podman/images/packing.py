"""Write a tar of files, with compiled Python beside its source: a program of its own.

It is run by the interpreter whose packages it packs, since only that can compile for itself, and
outside of the server, whose loop it would hold up. So it imports the standard library alone, and nothing of
what it packs::

    PYTHON -I -S packing.py OWNER < entries, a JSON object a line > tar

All times in the tar are one moment, and what is compiled is never compared with its source (PEP 552,
"unchecked"): the same files give the same tar wherever they lay, so their layers are shared.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import io
import json
import marshal
import os
import stat
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from types import CodeType
from typing import IO, Any

# The first moment that zip files know too: the custom of builds that can be repeated.
EPOCH = 315532800
UNCHECKED = 0b01
HEADER_BYTES = 16


@dataclasses.dataclass(frozen=True)
class Entry:
    """One thing in the tar.

    Parameters
    ----------
    name
        Its path in there.
    source
        The file that it is a copy of. With ``member``: the wheel that it is a member of.
    text
        What stands in it, where it is no copy.
    link
        What it points to, for a symbolic link.
    mode
        Its permissions; 0 takes the source's, as far as executing goes. With neither source, text nor
        link it is a directory.
    shown
        Where the file will lie at last; with it a ``.py`` is also compiled, and its traces name that.
    replace
        What is written instead of what, for files that name places of the machine they come from.
    """

    name: str
    source: str = ""
    member: str = ""
    text: str | None = None
    link: str = ""
    mode: int = 0
    shown: str = ""
    replace: tuple[tuple[str, str], ...] = ()


def to_lines(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yield entries as this program reads them."""
    for entry in entries:
        yield json.dumps(dataclasses.asdict(entry)).encode() + b"\n"


def from_lines(lines: Iterable[bytes]) -> Iterator[Entry]:
    """Read what `to_lines` wrote."""
    for line in lines:
        fields = json.loads(line)
        fields["replace"] = tuple((old, new) for old, new in fields["replace"])
        yield Entry(**fields)


def pack(entries: Iterable[Entry], out: IO[bytes], owner: int = 0) -> None:
    """Write ``entries`` to ``out`` as a tar; all belong to the user and the group ``owner``."""
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        for entry in entries:
            for info, data in members(entry):
                info.uid = info.gid = owner
                with data:
                    tar.addfile(info, data)


def members(entry: Entry) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    """Yield the tar's members of one entry: itself, and what it was compiled to."""
    if entry.link:
        yield _info(entry.name, tarfile.SYMTYPE, 0o777, link=entry.link), io.BytesIO()
    elif not entry.source and entry.text is None:
        yield _info(entry.name, tarfile.DIRTYPE, entry.mode or 0o755), io.BytesIO()
    elif entry.source and not (entry.member or entry.replace or _is_python(entry)):
        yield _copied(entry)
    else:
        data = content(entry)
        yield _info(entry.name, tarfile.REGTYPE, entry.mode or 0o644, size=len(data)), io.BytesIO(data)
        code = compiled(entry, data) if _is_python(entry) else None
        if code is not None:
            name = importlib.util.cache_from_source(entry.name)
            yield _info(name, tarfile.REGTYPE, 0o644, size=len(code)), io.BytesIO(code)


def _is_python(entry: Entry) -> bool:
    return bool(entry.shown) and entry.name.endswith(".py")


def _copied(entry: Entry) -> tuple[tarfile.TarInfo, IO[bytes]]:
    """Return a file as it is, unread: libraries are larger than memory should be. Nobody may write it."""
    file = open(entry.source, "rb")  # noqa: SIM115 - closed by whoever reads it
    status = os.fstat(file.fileno())
    mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
    return _info(entry.name, tarfile.REGTYPE, entry.mode or mode, size=status.st_size), file


def _info(name: str, kind: bytes, mode: int, *, size: int = 0, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name.lstrip("/"))
    info.type, info.mode, info.size, info.linkname, info.mtime = kind, mode, size, link, EPOCH
    return info


def content(entry: Entry) -> bytes:
    """Return the bytes of a file that has to be read."""
    if entry.text is not None:
        return entry.text.encode()
    if entry.member:
        return _wheel(entry.source).read(entry.member)
    with open(entry.source, "rb") as file:
        data = file.read()
    for old, new in entry.replace:
        data = data.replace(old.encode(), new.encode())
    return data


@functools.cache
def _wheel(path: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)  # closed by the end of the program


def compiled(entry: Entry, data: bytes) -> bytes | None:
    """Return the compiled file of a source, None for what is no Python of this version."""
    try:
        code = moved(_kept(entry) or _compiled(data), entry.shown)
    except (SyntaxError, ValueError, RecursionError):
        return None
    return _header(data) + marshal.dumps(code)


def _compiled(data: bytes) -> CodeType:
    # Read back: what is written depends on who else refers to a value, and what was read has no others.
    code = compile(data, "", "exec", dont_inherit=True, optimize=0)
    read: CodeType = marshal.loads(marshal.dumps(code))
    return read


def _header(data: bytes) -> bytes:
    flags = UNCHECKED.to_bytes(4, "little")
    return importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(data)


def _kept(entry: Entry) -> CodeType | None:
    """Return what lies compiled beside the source, if it is of this source: it takes a tenth of the time."""
    if entry.member or entry.replace or not entry.source:
        return None
    status = os.stat(entry.source)
    try:
        with open(importlib.util.cache_from_source(entry.source), "rb") as file:
            cached = file.read()
    except (OSError, NotImplementedError):  # there is none, or this interpreter keeps none
        return None
    stamp = _number(status.st_mtime) + _number(status.st_size)
    if cached[:HEADER_BYTES] != importlib.util.MAGIC_NUMBER + bytes(4) + stamp:
        return None
    kept: CodeType = marshal.loads(cached[HEADER_BYTES:])
    return kept


def _number(value: float) -> bytes:
    return (int(value) & 0xFFFFFFFF).to_bytes(4, "little")


def moved(code: CodeType, filename: str) -> CodeType:
    """Return code that says it comes from ``filename``: images do not tell where they were made."""
    constants: tuple[Any, ...] = tuple(
        moved(one, filename) if isinstance(one, CodeType) else one for one in code.co_consts
    )
    return code.replace(co_filename=filename, co_consts=constants)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # what packages are warned of is not for whoever serves them
    pack(from_lines(sys.stdin.buffer), sys.stdout.buffer, int(sys.argv[1]))
