"""What is stored for a version and never changes: everything needed to bring it up again.

The gateway writes it as JSON; a runtime reads it with msgspec alone, so nothing here
needs cattrs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import attrs
import msgspec

from prism_core.environment import SERVER, Requirement
from prism_core.optimization import Optimization

# Without a call for so long, a version with `min_replicas: 0` is unloaded where nobody says otherwise.
IDLE_UNLOAD_S = 300.0


@attrs.frozen
class Batching:
    """How a version's requests are joined.

    Parameters
    ----------
    max_batch_rows
        Upper bound of rows in one execution; the AIMD cap moves below it.
    max_delay_ms
        How long an idle model waits for company. 0: batch only while busy.
    max_queue_rows
        Rows that may wait; beyond them a request is answered 503.
    latency_slo_ms
        The objective: for one execution, against which the cap is adapted, and for the calls
        in flight, of which there are no more than it takes to answer them. 0 turns both off.
    """

    max_batch_rows: Annotated[int, msgspec.Meta(ge=1)] = 1024
    max_delay_ms: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    max_queue_rows: Annotated[int, msgspec.Meta(ge=1)] = 8192
    latency_slo_ms: Annotated[float, msgspec.Meta(ge=0)] = 100.0


@attrs.frozen
class Manifest:
    """One immutable version.

    ``plugin`` is the entry-point name of the plugin that offers ``loader``. ``artifact`` is
    the name that it was uploaded under, ``digest`` its ``sha256:``. ``trust`` are names that
    the owner admitted for this artifact. ``environment`` is the key of its environment,
    ``requirements`` what that was chosen for.
    ``replicas`` stands for both bounds where these are None. ``idle_unload_s`` None is the
    server's, 0 never. A version that is ``pin``-ned stays loaded.
    ``description`` is what its page says of it, in Markdown.
    ``optimize`` is whether a faster form was asked for, ``optimization`` what came of it.
    """

    model: str
    version: int
    loader: str
    plugin: str
    artifact: str
    digest: str
    size_bytes: int
    created: float
    options: dict[str, Any] = attrs.field(factory=dict)
    deterministic: bool = True
    row_independent: bool = True
    environment: str = SERVER
    requirements: tuple[Requirement, ...] = ()
    isolation: str = "process"
    replicas: int = 1
    min_replicas: int | None = None
    max_replicas: int | None = None
    idle_unload_s: float | None = None
    pin: bool = False
    threads: int = 1
    timeout_s: float = 30.0
    memory_estimate_bytes: int = 0
    memory_limit_bytes: int = 0
    preload: bool = True
    trust: tuple[str, ...] = ()
    batching: Batching = Batching()
    warnings: tuple[str, ...] = ()
    optimize: Literal["auto", "off"] = "off"
    optimization: Optimization | None = None
    description: str = ""

    @property
    def served(self) -> Manifest:
        """The manifest as replicas get it: with loader and artifact of the form that they load."""
        form = self.optimization
        if form is None or form.state != "served":
            return self
        return attrs.evolve(self, loader=form.loader, digest=form.digest)

    @property
    def digests(self) -> tuple[str, ...]:
        """All that the store keeps for this version."""
        derived = self.optimization.digest if self.optimization else ""
        return (self.digest, derived) if derived else (self.digest,)

    def with_original(self, reason: str) -> Manifest:
        """Return the manifest with the original form in service, because of ``reason``."""
        assert self.optimization is not None
        return attrs.evolve(self, optimization=attrs.evolve(self.optimization, state="failed", reason=reason))

    @property
    def fewest(self) -> int:
        """Replicas that there are at least while the version is loaded."""
        return max(1, self.replicas if self.min_replicas is None else self.min_replicas)

    @property
    def most(self) -> int:
        """Replicas that there are at most."""
        return max(self.fewest, self.replicas if self.max_replicas is None else self.max_replicas)

    def idle_limit_s(self, default_s: float) -> float:
        """Return after how long without a call it is unloaded, 0 for never; ``default_s`` is the server's."""
        if self.pin:
            return 0.0
        told = default_s if self.idle_unload_s is None else self.idle_unload_s
        return told or (IDLE_UNLOAD_S if self.min_replicas == 0 else 0.0)

    def to_json(self) -> bytes:
        """Return the manifest as JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        """Read a manifest that `to_json` wrote; unknown fields of a newer PRISM are ignored."""
        return _decode(data)

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a manifest from a file."""
        return cls.from_json(path.read_bytes())


# Made once: it takes a millisecond, which is much of what a replica takes to start.
_decode = msgspec.json.Decoder(Manifest).decode
