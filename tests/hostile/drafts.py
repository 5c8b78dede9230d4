"""A good request of the REST protocol as parts that can be spoiled one by one, and its bytes. No I/O."""

from __future__ import annotations

import json
import random
from typing import Any

import attrs
import numpy as np

from tests.hostile.subjects import MODELS, array_of, raw_of

HEADER = "Inference-Header-Content-Length"


@attrs.define
class Draft:
    """A request before it is written.

    ``tree`` is its JSON, ``raws`` what follows that. ``body``, where set,
    is sent instead of both. ``wrong``:
    it has to be refused; else a spoilt request may still mean something, and may be answered.
    """

    model: str
    tree: Any
    raws: list[bytes]
    path: str
    method: str = "POST"
    headers: list[tuple[str, str]] = attrs.field(factory=list)
    body: bytes | None = None
    wrong: bool = True

    def inputs(self) -> list[Any]:
        """Return the tensors."""
        return list(self.tree["inputs"])

    def written(self) -> bytes:
        """Return the body."""
        if self.body is None:
            self.body = head = json.dumps(self.tree).encode()
            if self.raws:
                self.say(HEADER, str(len(head)))
                self.body += b"".join(self.raws)
        return self.body

    def say(self, name: str, value: str) -> None:
        """Set a header."""
        self.headers = [pair for pair in self.headers if pair[0].lower() != name.lower()] + [(name, value)]

    def said(self, name: str) -> str | None:
        """Return a header."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


def good(chance: random.Random, model: str = "", *, raw: bool | None = None) -> Draft:
    """Return a request that is right: JSON, flat or nested, or some tensors in raw bytes."""
    model = model or chance.choice(["line", "line", "table", "types"])
    rows = chance.choice((1, 1, 2, 5))
    draft = Draft(model, {"inputs": []}, [], f"/v2/models/{model}/infer")
    for one in MODELS[model]:
        array = array_of(one, rows, chance)
        told: dict[str, Any] = {"name": one.name, "shape": list(array.shape), "datatype": one.datatype}
        if one.datatype == "FP16" or (chance.random() < 0.5 if raw is None else raw):
            draft.raws.append(raw_of(array))
            told["parameters"] = {"binary_data_size": len(draft.raws[-1])}
        else:
            told["data"] = plain(array if chance.random() < 0.5 else array.ravel())
        draft.tree["inputs"].append(told)
    if chance.random() < 0.3:
        draft.tree["id"] = str(chance.random())
    if chance.random() < 0.3:
        draft.tree["parameters"] = {"binary_data_output": chance.random() < 0.5}
    return draft


def plain(array: np.ndarray) -> Any:
    """Return an array as JSON has it."""
    return array.tolist()
