"""``python -m prism_core.cli``: the same as ``prism``."""

from prism_core.cli import main

if __name__ == "__main__":
    main()
