"""From an artifact to findings: every name in no list, and the first thing that no pickler writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prism_core.plugin import Artifact, Finding
from prism_sklearn.audit.admitted import Admitted
from prism_sklearn.audit.noticing import Noticing
from prism_sklearn.audit.schema import names_of
from prism_sklearn.audit.telling import told, told_of
from prism_sklearn.audit.walking import walked
from prism_sklearn.content import is_skops, looks_pickled, opening
from prism_sklearn.directories import file_of


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
    judge = Noticing(Admitted.of(trust))
    if is_skops(artifact):
        refused = names_of(artifact, judge)
    elif looks_pickled(opening(artifact)):
        refused = walked(artifact, judge)
    else:
        return  # it is no model at all; the loader executes nothing of it and says what it is
    if judge.unknown:
        yield told(artifact.name, judge.unknown)
    if refused is not None:
        yield told_of(artifact.name, refused)
