"""Look through a pickle or skops file without executing anything of it, and say what is wrong with it.

The names that it may look up are in `prism_sklearn.audit.admitted`; the load in the runtime asks
the same list.
"""

from prism_sklearn.audit.inspecting import findings

__all__ = ["findings"]
