"""``plugins.relay``: which relay, and under which name."""

from __future__ import annotations

from pathlib import Path

import attrs

from prism_tunnel.relay.joining import join_file


@attrs.frozen
class RelayConfig:
    """Settings of the provider ``relay``.

    Parameters
    ----------
    join
        A join string, as ``prism relay token create`` prints it. It is a secret.
    join_file
        A file that holds one instead; without both, what ``prism relay join`` wrote down.
    name
        What to publish, by default the client's own name.
    data_dir
        Below it lies what ``prism relay join`` wrote down; "" is replaced by the server's own.
    """

    join: str = attrs.field(default="", repr=False)
    join_file: str = ""
    name: str = ""
    data_dir: str = ""

    def lacks(self) -> str:
        """Return that no relay was joined, "" if one was."""
        path = Path(self.join_file).expanduser() if self.join_file else join_file(self.data_dir)
        return "" if self.join or path.is_file() else "No relay was joined: see `prism relay join`."
