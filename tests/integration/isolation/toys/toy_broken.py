"""Cannot be imported."""

raise ImportError("toy_broken cannot be imported")
