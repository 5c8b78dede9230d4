"""Walk a pickle to its end, and keep what was noticed on the way for who asks right after it."""

from __future__ import annotations

import threading

from prism_core.plugin import Artifact
from prism_sklearn.audit.admitted import Admitted
from prism_sklearn.audit.noticing import Ends, Notes, Noticing
from prism_sklearn.audit.opcodes import run
from prism_sklearn.audit.source import Refused
from prism_sklearn.content import looks_pickled, opening
from prism_sklearn.unpacking import Damaged, opened

# Uploads that are between their audit and the question what they were made with.
_KEPT = 8
_File = tuple[str, int, int, int]
_noticed: dict[_File, Notes] = {}
_lock = threading.Lock()


def walked(artifact: Artifact, judge: Noticing) -> Refused | None:
    """Walk a pickle to the end of the file; return what no pickler writes."""
    offset = 0
    try:
        with opened(artifact) as (stream, size):
            source = Ends(stream, size)
            try:
                run(source, judge)
                if source.rest():
                    return Refused(source.offset, "something follows the end of the pickle")
            except Refused as refused:
                return refused
            finally:
                offset = source.offset
    except Damaged as error:
        return Refused(offset, str(error), damaged=True)
    except ModuleNotFoundError:
        return Refused(
            0, "lz4, with which it is compressed, is not installed: pip install 'prism-sklearn[lz4]'"
        )
    _keep(artifact, judge.notes)
    return None


def noticed(artifact: Artifact) -> Notes:
    """Return what a pickle says of the packages that wrote it; nothing, where it is none."""
    with _lock:
        kept = _noticed.pop(_file(artifact), None)
    if kept is not None:
        return kept
    judge = Noticing(Admitted())
    whole = looks_pickled(opening(artifact)) and walked(artifact, judge) is None
    return judge.notes if whole else Notes()


def _keep(artifact: Artifact, notes: Notes) -> None:
    with _lock:
        _noticed[_file(artifact)] = notes
        while len(_noticed) > _KEPT:
            del _noticed[next(iter(_noticed))]


def _file(artifact: Artifact) -> _File:
    found = artifact.path.stat()
    return str(artifact.path), found.st_ino, found.st_size, found.st_mtime_ns
