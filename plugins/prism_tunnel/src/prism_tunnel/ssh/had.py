"""Which ports servers have given us before: one that they refuse now, they may give back later."""

from __future__ import annotations

from pathlib import Path

import attrs

FILE = Path("tunnel", "ports")


@attrs.frozen
class Had:
    """The file that says it, below the data directory; it outlives the server, as what it is about does."""

    path: Path

    @classmethod
    def of(cls, data_dir: str) -> Had:
        """Return that of a data directory."""
        return cls(Path(data_dir, FILE))

    def noted(self, port: str) -> bool:
        """Return whether a port is known to have been ours."""
        try:
            return port in self.path.read_text().splitlines()
        except OSError:
            return False

    def note(self, port: str) -> None:
        """Note a port; where that cannot be written, a later refusal is just believed."""
        if self.noted(port):
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self.path.open("a") as file:
                file.write(f"{port}\n")
        except OSError:
            pass
