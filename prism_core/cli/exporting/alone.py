"""What an image of a version holds and says, whoever builds it: files, command, variables, labels. Pure.

In the image all of it lies in `ROOT`. The process is the one that serves the version behind a gateway;
here it has none: see ``python -m prism_core.runtime``.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import attrs

from prism_core import __version__
from prism_core.appliances import Appliance
from prism_core.bundle import Bundle
from prism_core.manifest import Manifest
from prism_core.protocols import ReplicaSpec
from prism_core.threads import numeric_variables

ROOT = PurePosixPath("/prism")
PORT = 8080
# No user of the machine, and none that an image has for something else.
USER = 10001
MODULE = "prism_core.runtime"
READY = "/v2/health/ready"
LIVE = "/v2/health/live"
# Without curl, which small images have not.
_PROBE = (
    "import os, urllib.request as r; "
    f"r.urlopen('http://127.0.0.1:' + os.environ.get('PORT', '{PORT}') + '{READY}', timeout=4)"
)
REPOSITORY = "localhost/prism"


@attrs.frozen
class Alone:
    """A version that serves itself.

    Parameters
    ----------
    bundle
        The version.
    plugins
        References of the plugins that its runtime loads.
    distributions
        PRISM's own distributions that it needs, with those plugins.
    """

    bundle: Bundle
    plugins: tuple[str, ...]
    distributions: tuple[str, ...]

    @property
    def manifest(self) -> Manifest:
        """The version as its runtime reads it."""
        bundle, config = self.bundle, self.bundle.config
        trust = {"trust": list(bundle.trust)} if bundle.trust else {}
        return Manifest(
            model=bundle.model,
            version=bundle.version,
            loader=bundle.loader,
            plugin=self.plugins[0].partition("=")[0] if self.plugins else "",
            artifact=bundle.artifact.name,
            digest=bundle.artifact.digest,
            size_bytes=bundle.artifact.size_bytes,
            created=bundle.created,
            options=config.options | trust,
            isolation="alone",
            threads=config.threads,
            timeout_s=config.timeout_s,
            batching=config.batching,
            trust=bundle.trust,
        )

    @property
    def spec(self) -> ReplicaSpec:
        """What the runtime is started with."""
        return ReplicaSpec(
            replica=f"{self.bundle.model}-{self.bundle.version}",
            manifest=Path(ROOT / "manifest.json"),
            artifact=Path(ROOT / "artifact"),
            directory=Path("/tmp"),
            plugins=self.plugins,
            warm=(),
            environment="image",
            python="python",
            threads=self.bundle.config.threads,
            sandbox="container",
        )

    @property
    def files(self) -> dict[str, bytes]:
        """What lies in `ROOT` beside the artifact."""
        return {"manifest.json": self.manifest.to_json(), "spec.json": self.spec.to_json()}

    @property
    def arguments(self) -> tuple[str, ...]:
        """The command line, without the interpreter."""
        return ("-P", "-m", MODULE, str(ROOT / "spec.json"), "--http")

    @property
    def probe(self) -> tuple[str, ...]:
        """A command line, without the interpreter, that tells by its exit code whether it is ready."""
        return ("-P", "-c", _PROBE)

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that the process needs."""
        return {
            "PORT": str(PORT),
            "HOME": "/tmp",
            "PYTHONUNBUFFERED": "1",
            **numeric_variables(self.bundle.config.threads),
        }

    @property
    def labels(self) -> dict[str, str]:
        """What the image says of itself."""
        bundle = self.bundle
        return {
            "org.opencontainers.image.title": bundle.model,
            "org.opencontainers.image.version": str(bundle.version),
            "org.opencontainers.image.description": f"{bundle.model}, served by PRISM {__version__}",
            "prism.model": f"{bundle.model}/{bundle.version}",
            "prism.digest": bundle.artifact.digest,
            "prism.runtime": __version__,
        }

    def appliance(self, files: Path, name: str, output: Path | None) -> Appliance:
        """Return what an engine is to build; what lies in `ROOT` is in ``files``."""
        return Appliance(
            model=f"{self.bundle.model}/{self.bundle.version}",
            python_version=self.bundle.environment.python_version,
            lock=tuple((one.name, one.version) for one in self.bundle.environment.lock),
            distributions=self.distributions,
            name=name,
            files=files,
            root=str(ROOT),
            arguments=self.arguments,
            probe=self.probe,
            user=USER,
            port=PORT,
            variables=self.variables,
            labels=self.labels,
            output=output,
        )


def tag_of(bundle: Bundle) -> str:
    """Return what an image is called where nobody says: ``localhost/prism/churn:3``."""
    # A registry's names have a letter or digit between any two separators.
    name = re.sub(r"[._-]*([._-])[._-]*", r"\1", bundle.model).strip("._-")
    return f"{REPOSITORY}/{name}:{bundle.version}"
