"""Which names a pickle may look up: one answer for the audit and for the load.

Exact names only, never a prefix: ``sklearn.datasets._base`` imports ``os``, and every module has gadgets.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from prism_sklearn.audit.called import CALLED, MADE_WITH
from prism_sklearn.audit.names import CLASSES, VALUES
from prism_sklearn.audit.values import Kind

# Python 2 called them so, and protocols before 3 still do; scikit-learn 1.6 gave its losses a name without
# a package, scipy its functions several.
_MODULES = {
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "_loss": "sklearn._loss._loss",
    "scipy.special._ufuncs": "scipy.special",
    "scipy.special._special_ufuncs": "scipy.special",
    "scipy.special._logsumexp": "scipy.special",
}
_NAMES = {
    "builtins.long": "builtins.int",
    "builtins.unicode": "builtins.str",
    "builtins.xrange": "builtins.range",
    "pandas._libs.tslibs.nattype.__nat_unpickle": "pandas._libs.tslibs.nattype._nat_unpickle",
}


def canonical(module: str, name: str) -> str:
    """Return the one path of a name, whichever version of Python, numpy or scipy wrote it."""
    if module == "numpy.core" or module.startswith("numpy.core."):
        module = f"numpy._core{module[10:]}"
    path = f"{_MODULES.get(module, module)}.{name}"
    return _NAMES.get(path, path)


@attrs.frozen
class Admitted:
    """The list, and what the owner of one file trusts beside it.

    Parameters
    ----------
    trust
        ``module:name``, or ``module.name`` for a name without dots.
    """

    trust: frozenset[str] = frozenset()

    @classmethod
    def of(cls, trust: Iterable[str]) -> Admitted:
        """Return the list with ``trust`` added."""
        return cls(frozenset(one if ":" in one else ":".join(one.rpartition(".")[::2]) for one in trust))

    def kind(self, module: str, name: str) -> Kind:
        """Return what may be done with a name."""
        if f"{module}:{name}" in self.trust:
            return Kind.TRUSTED
        if "." in name:  # an attribute of something is none of the names in the list
            return Kind.UNKNOWN
        path = canonical(module, name)
        if path in CALLED:
            return Kind.CALLED
        if path in CLASSES or path in MADE_WITH:
            return Kind.CLASS
        return Kind.VALUE if path in VALUES else Kind.UNKNOWN
