"""The command line: ``prism serve``, ``prism upload`` ... text for people, ``--json`` for programs.

Nothing heavy is imported here or by a command's module: `--help` and tab completion are
as quick as Python itself allows.
"""

from __future__ import annotations

import sys

EXIT_FAILED, EXIT_USAGE, EXIT_INSTALLATION, EXIT_INTERRUPTED = 1, 2, 3, 130


def main() -> None:
    """Run ``prism``; exits with 0, 1 failed, 2 wrong usage, 3 broken installation, 130 interrupted."""
    try:
        from prism_core.cli.app import app
    except ModuleNotFoundError as error:
        print(f"The command line needs the package {error.name!r}, which is not installed.", file=sys.stderr)
        print("  pip install 'prism-core[server]'", file=sys.stderr)
        sys.exit(EXIT_INSTALLATION)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    app(prog_name="prism")
