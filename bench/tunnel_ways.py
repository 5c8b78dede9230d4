"""The ways that lead to one laptop, for `bench.tunnels`: every one leads to links of the same models."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs
import joblib
import numpy as np
from sklearn.linear_model import LinearRegression

from tests.network import peers
from tests.network.internet import LAPTOP, RELAY, Internet, internet
from tests.network.peers import Laptop, Sshd
from tests.network.places import Place
from tests.network.stranger import Shared

FACTOR = 2.0
# Inputs, or outputs, of the models of which one is large.
COLUMNS = 1000
# Where OpenSSH's own `-R` ends.
PORT = 8081


def train(directory: Path) -> dict[str, Path]:
    """Write models that multiply by `FACTOR`: a number, many that are summed up, one that becomes many."""
    x, wide = np.arange(4.0).reshape(-1, 1), np.eye(COLUMNS)
    fitted = {
        "small": LinearRegression().fit(x, x[:, 0] * FACTOR),
        "wide": LinearRegression(fit_intercept=False).fit(wide, np.full(COLUMNS, FACTOR)),
        "tall": LinearRegression(fit_intercept=False).fit(x, x * np.full(COLUMNS, FACTOR)),
    }
    paths = {name: directory / f"{name}.pkl" for name in fitted}
    for name, estimator in fitted.items():
        joblib.dump(estimator, paths[name])
    return paths


@attrs.frozen
class Way:
    """One way to a server: from which place it is asked, and a link to each model."""

    name: str
    place: Place
    links: dict[str, Shared]


@contextmanager
def ways(directory: Path) -> Iterator[list[Way]]:
    """Open every way to one laptop, each link of which works."""
    with ExitStack() as stack:
        net = stack.enter_context(internet())
        relay = stack.enter_context(peers.relay(net.relay, directory / "relay"))
        sshd = stack.enter_context(peers.sshd(net.relay, directory / "sshd"))
        plugins = {"ssh": sshd.config, "lan": {"host": LAPTOP}}
        config = configured(train(directory), relay.join("laptop"), **plugins)
        laptop = Laptop(net.laptop, directory / "laptop", "--host", "0.0.0.0", config=config)
        stack.enter_context(laptop)
        lan, by_relay, by_ssh = (links(laptop, tunnel) for tunnel in ("lan", "relay", "ssh"))
        found = [Way("in its own network", net.homes[0].router, lan)]
        found += [Way("PRISM's relay", net.stranger, by_relay), Way("ssh", net.stranger, by_ssh)]
        stack.enter_context(ssh_r(net, sshd, laptop))
        yield [*found, Way("OpenSSH's `ssh -R`", net.stranger, moved(lan, f"http://{RELAY}:{PORT}"))]


def configured(models: dict[str, Path], join: str, **plugins: object) -> str:
    """Return a prism.yaml; JSON is YAML too."""
    served = {name: {"path": str(path)} for name, path in models.items()}
    return json.dumps({"models": served, "plugins": {"relay": {"join": join}, **plugins}})


def links(laptop: Laptop, tunnel: str) -> dict[str, Shared]:
    """Share every model by a tunnel."""
    names = ("small", "wide", "tall")
    for name in names:
        laptop.until_ready(name)
    return {name: laptop.share(name, FACTOR, tunnel) for name in names}


def moved(found: dict[str, Shared], base: str) -> dict[str, Shared]:
    """Return the same links under another base URL."""
    return {
        name: attrs.evolve(link, predict_url=link.predict_url.replace(link.base, base))
        for name, link in found.items()
    }


@contextmanager
def ssh_r(net: Internet, sshd: Sshd, laptop: Laptop) -> Iterator[None]:
    """Lead from a port of the relay's machine to the laptop with OpenSSH's own client."""
    port = laptop.url.rpartition(":")[2]
    options = ("BatchMode=yes", "ExitOnForwardFailure=yes", f"UserKnownHostsFile={sshd.known_hosts}")
    command = [*net.laptop.prefix, "ssh", "-N", "-F", "none", "-i", str(sshd.key)]
    command += [f"-o{option}" for option in options]
    command += ["-R", f"0.0.0.0:{PORT}:127.0.0.1:{port}", "root@ssh.example.org"]
    process = subprocess.Popen(command)
    try:
        peers.until(lambda: peers.answers(net.stranger, RELAY, PORT))
        yield
    finally:
        process.terminate()
        process.wait()
