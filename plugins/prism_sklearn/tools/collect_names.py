"""List every name in the pickles of the corpus, and what is done with each: ``collect_names.py [OUT]``.

Run with several versions of scikit-learn and numpy; the union, reviewed by hand, became
`prism_sklearn.audit.names` and `prism_sklearn.audit.called`. It proposes; a person admits.
"""

from __future__ import annotations

import io
import json
import pickle
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import joblib
from corpus import corpus

from prism_sklearn.audit.admitted import canonical
from prism_sklearn.audit.judging import JoblibArrays
from prism_sklearn.audit.opcodes import run
from prism_sklearn.audit.source import Refused, Source
from prism_sklearn.audit.values import Global, Items, Kind, Made


class Recorder(JoblibArrays):
    """Admits everything and writes down what is done with it."""

    def __init__(self) -> None:
        self.uses: dict[str, set[str]] = defaultdict(set)

    def name(self, module: str, name: str, offset: int) -> Global:
        path = canonical(module, name)
        self.uses[path].add("named")
        return Global(path, Kind.CALLED)

    def call(self, what: Global, args: Any) -> str:
        self.uses[what.path].add(f"called({', '.join(map(_kind, args))})")
        return ""

    def new(self, what: Global, args: Any) -> str:
        self.uses[what.path].add(f"new({', '.join(map(_kind, args))})")
        return ""

    def build(self, made: Made, state: Any) -> str:
        self.uses[made.of.path].add("built")
        return ""

    def fill(self, made: Made, shape: type) -> str:
        self.uses[made.of.path].add(f"filled as {shape.__name__}")
        return ""


def _kind(value: Any) -> str:
    if isinstance(value, Global | Made):
        return (value if isinstance(value, Global) else value.of).path.rpartition(".")[2]
    return value.shape.__name__ if isinstance(value, Items) else type(value).__name__


def pickles(estimator: Any) -> list[bytes]:
    """Return the pickles of an object, of every protocol, and joblib's."""
    made = []
    for protocol in range(6):
        try:
            made.append(pickle.dumps(estimator, protocol))
        except Exception as error:
            print(f"not pickled with protocol {protocol}: {str(error)[:90]}", file=sys.stderr)
    file = io.BytesIO()
    joblib.dump(estimator, file)
    return [*made, file.getvalue()]


def main() -> None:
    """Print or write the names as JSON."""
    recorder = Recorder()
    for name, estimator in corpus():
        for data in pickles(estimator):
            source = Source(io.BytesIO(data), len(data))
            try:
                run(source, recorder)
                assert not source.rest()
            except Refused as refused:
                print(f"refused: {name}: at {refused.offset}: {refused.what}", file=sys.stderr)
    text = json.dumps({path: sorted(uses) for path, uses in sorted(recorder.uses.items())}, indent=1)
    Path(sys.argv[1]).write_text(text) if len(sys.argv) > 1 else print(text)


if __name__ == "__main__":
    main()
