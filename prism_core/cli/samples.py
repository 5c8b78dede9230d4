"""A first request: the example of an upload, or one made from what a model takes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prism_core.cli.client import data_dir_of
from prism_core.cli.media import media_type_of
from prism_core.cli.options import Common
from prism_core.cli.trusting import authority_of

if TYPE_CHECKING:
    from prism_core.rest.snippets import Sample


def sample_of(version: dict[str, Any], example: Path | None = None) -> Sample | None:
    """Return what a version can be asked, None while it has not said what it takes."""
    from prism_core.rest.snippets import Sample

    if example:
        return Sample(media_type_of(example), None, str(example))
    if not version.get("signature"):
        return None
    import msgspec

    from prism_core.rest.describe import sample
    from prism_core.types import Signature

    return sample(msgspec.convert(version["signature"], Signature))


def own_authority(url: str, common: Common) -> str:
    """Return curl's option for a certificate that this server's own authority has signed, else ""."""
    own = authority_of(data_dir_of(common)) if url.startswith("https:") else None
    return f" --cacert {shlex.quote(str(own))}" if own else ""
