"""``plugins.relay``: which relay, and under which name."""

from __future__ import annotations

import attrs


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
