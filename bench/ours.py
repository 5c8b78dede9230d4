"""PRISM as `prism serve` makes it, and the two ceilings that it is measured against."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bench.servers import Place, Server, model_variable, uvicorn


def prepare_prism(place: Place) -> None:
    """Write the configuration that names the model; everything else is as it comes."""
    (place.data / "prism.yaml").write_text(f"models:\n  {place.model}:\n    path: {place.file}\n")


def prepare_uncached(place: Place) -> None:
    """Turn the cache off."""
    prepare_prism(place)
    with (place.data / "prism.yaml").open("a") as file:
        file.write("cache:\n  enabled: false\n")


def serve_prism(place: Place) -> Sequence[object]:
    """Return `prism serve`, on the loopback."""
    ports = ("--port", place.port, "--admin-port", 0)
    where = ("--config", place.data / "prism.yaml", "--data-dir", place.data / "prism")
    return (sys.executable, "-m", "prism_core.cli", "serve", "--host", "127.0.0.1", *ports, *where)


PRISM = Server("PRISM", serve_prism, "/model/{model}/predict", prepare=prepare_prism)
PRISM_CACHED = Server(
    "PRISM, cached", serve_prism, "/model/{model}/predict", prepare=prepare_prism, no_store=False
)
PRISM_UNCACHED = Server(
    "PRISM, no cache", serve_prism, "/model/{model}/predict", prepare=prepare_uncached, no_store=False
)
BARE = Server("bare ASGI", uvicorn("bare:app", "ceilings"), fixed=True, models=("logistic",))
CEILING = Server("ceiling", uvicorn("front:app", "ceilings"), environment=model_variable)
OURS = (PRISM, CEILING, BARE)
