"""From an artifact to findings: every name in no list, and the first thing that no pickler writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prism_core.plugin import Artifact, Finding
from prism_sklearn.audit.admitted import Admitted
from prism_sklearn.audit.judging import Auditor
from prism_sklearn.audit.opcodes import run
from prism_sklearn.audit.schema import names_of
from prism_sklearn.audit.source import Refused, Source
from prism_sklearn.audit.telling import told, told_of
from prism_sklearn.content import is_skops, looks_pickled, opening
from prism_sklearn.directories import file_of
from prism_sklearn.unpacking import Damaged, opened


def findings(artifact: Artifact, trust: Iterable[str] = ()) -> Iterator[Finding]:
    """Yield what is wrong with ``artifact``; nothing, if it may be loaded.

    Parameters
    ----------
    artifact
        A file that the loader ``sklearn`` would load.
    trust
        Names that the owner admits for this file, as `Admitted` reads them.

    Raises
    ------
    ArtifactTooLarge
        If it unpacks to more than the limits allow.
    """
    artifact = file_of(artifact)
    auditor = Auditor(Admitted.of(trust))
    if is_skops(artifact):
        refused = names_of(artifact, auditor)
    elif looks_pickled(opening(artifact)):
        refused = _walked(artifact, auditor)
    else:
        return  # it is no model at all; the loader executes nothing of it and says what it is
    if auditor.unknown:
        yield told(artifact.name, auditor.unknown)
    if refused is not None:
        yield told_of(artifact.name, refused)


def _walked(artifact: Artifact, auditor: Auditor) -> Refused | None:
    """Walk a pickle to the end of the file; return what no pickler writes."""
    offset = 0
    try:
        with opened(artifact) as (stream, size):
            source = Source(stream, size)
            try:
                run(source, auditor)
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
    return None
