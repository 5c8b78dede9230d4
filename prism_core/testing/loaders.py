"""`LoaderContract`: what every loader must do, as tests to inherit.

See `prism_core.testing` for an example.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import threading
from abc import abstractmethod
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pluggy
import pytest

from prism_core import hookspecs
from prism_core.environments.needs import needed, satisfied
from prism_core.protocols import BaseModel
from prism_core.runtime.session import plausible
from prism_core.specs import Artifact, Loader
from prism_core.testing.tensors import assert_fits, assert_same
from prism_core.types import NUMPY_TYPES, Batch, Signature, rows_of

# What a loader of something else must not claim, by what it looks like.
STRANGERS = {
    "nothing": b"",
    "text": b"tenure,plan\n3,basic\n",
    "json": b'{"hello": "world"}',
    "picture": b"\x89PNG\r\n\x1a\n" + bytes(64),
    "noise": bytes(range(255, -1, -1)) * 4,
}


class LoaderContract:
    """Tests of a `Loader`. Subclass; set ``plugin``, and write `artifact`, `inputs` and `expected`.

    Attributes
    ----------
    plugin
        The plugin's module.
    loader_name
        Which of its loaders is tested; "" where it offers one.
    options
        What ``--option k=v`` would set for the artifact.
    rtol
        How far answers may differ between a row alone and the same row in a batch.
    """

    plugin: ModuleType
    loader_name: str = ""
    options: Mapping[str, Any] = {}
    rtol: float = 1e-5

    @abstractmethod
    def artifact(self, directory: Path) -> Path:
        """Write a small artifact into ``directory`` and return its path."""

    @abstractmethod
    def inputs(self) -> Batch:
        """Return inputs that fit the artifact's signature: at least two different rows."""

    @abstractmethod
    def expected(self) -> Mapping[str, Any]:
        """Return the right outputs for `inputs`, by name."""

    @property
    def loader(self) -> Loader:
        """The loader that is tested."""
        offered: dict[str, Loader] = {loader.name: loader for loader in self.plugin.prism_loaders()}
        return offered[self.loader_name] if self.loader_name else next(iter(offered.values()))

    @pytest.fixture
    def uploaded(self, tmp_path: Path) -> Artifact:
        """The artifact as the runtime gets it: stored without its suffix, beside its name."""
        path = self.artifact(tmp_path)
        return Artifact(path.rename(tmp_path / "stored"), path.name)

    @pytest.fixture
    def model(self, uploaded: Artifact) -> BaseModel:
        """The artifact, loaded."""
        return self._load(uploaded)

    def _load(self, artifact: Artifact) -> BaseModel:
        return self.loader.load(artifact, msgspec.convert(dict(self.options), self.loader.options))

    # --- the plugin -------------------------------------------------------------------

    def test_the_plugin_fits_the_hooks(self) -> None:
        """Every ``prism_`` function is a known hook with known arguments."""
        plugins = pluggy.PluginManager("prism")
        plugins.add_hookspecs(hookspecs)
        plugins.register(self.plugin)
        plugins.check_pending()

    def test_importing_the_plugin_imports_no_framework(self) -> None:
        """The gateway imports it too, and must stay small; frameworks are imported inside functions."""
        own = self.plugin.__name__.partition(".")[0]  # a plugin may have a module that warms the framework
        framework = [top for module in self.loader.requires if (top := module.partition(".")[0]) != own]
        code = f"import sys, {self.plugin.__name__}; print(sorted(set({framework}) & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

        assert done.stdout.strip() == "[]"

    def test_the_options_have_defaults(self) -> None:
        """An upload without ``--option`` works."""
        assert isinstance(msgspec.convert({}, self.loader.options), self.loader.options)

    def test_the_suffixes_are_lower_case_with_a_dot(self) -> None:
        """They are compared with `Artifact.suffix`."""
        assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in self.loader.suffixes)

    # --- which artifacts --------------------------------------------------------------

    def test_its_own_artifact_is_recognised(self, uploaded: Artifact) -> None:
        """Otherwise nobody can upload it without ``--loader``."""
        assert 0 < self.loader.recognises(uploaded) <= 1

    @pytest.mark.parametrize("looks_like", STRANGERS)
    def test_other_files_are_not_claimed(self, tmp_path: Path, looks_like: str) -> None:
        """Under a suffix that is nobody's, only the content could make it this loader's."""
        path = tmp_path / "stored"
        path.write_bytes(STRANGERS[looks_like])

        assert self.loader.recognises(Artifact(path, "model.unknown")) == 0

    @pytest.mark.parametrize("looks_like", STRANGERS)
    def test_looking_never_raises(self, tmp_path: Path, looks_like: str) -> None:
        """Whatever a file holds, and also for a directory, it is a number from 0 to 1, and a list."""
        path = tmp_path / "stored"
        path.write_bytes(STRANGERS[looks_like])
        named = [Artifact(path, f"model{suffix}") for suffix in self.loader.suffixes]
        for artifact in (*named, Artifact(tmp_path, "model")):
            assert 0 <= self.loader.recognises(artifact) <= 1
            assert isinstance(list(self.loader.requirements(artifact)), list)

    def test_a_broken_artifact_fails_to_load(self, tmp_path: Path) -> None:
        """Noise is never taken for a model."""
        path = tmp_path / "stored"
        path.write_bytes(STRANGERS["noise"])
        suffix = self.loader.suffixes[0] if self.loader.suffixes else ""

        with pytest.raises(Exception):  # noqa: B017, PT011 - any error will do; the runtime reports it
            self._load(Artifact(path, f"model{suffix}"))

    def test_it_was_made_with_what_is_here(self, uploaded: Artifact) -> None:
        """What it asks for is names and versions, and this environment, in which it was made, has them."""
        needs = needed(self.loader.requirements(uploaded))
        installed = {one.name: version(one.name) for one in needs.requirements}

        assert all(one.reason for one in needs.requirements)
        assert needs.notes == satisfied(needs, installed, platform.python_version()) == ()

    # --- the signature ----------------------------------------------------------------

    def test_the_signature_is_complete(self, model: BaseModel) -> None:
        """Names are unique, datatypes known, and what it refers to exists."""
        signature = model.signature
        outputs = [spec.name for spec in signature.outputs]
        inputs = [spec.name for spec in signature.inputs]

        assert len(set(inputs)) == len(inputs) > 0
        assert len(set(outputs)) == len(outputs) > 0
        assert set(signature.default_outputs) <= set(outputs)
        assert signature.predictions in outputs
        assert {spec.datatype for spec in (*signature.inputs, *signature.outputs)} <= set(NUMPY_TYPES)

    def test_the_first_axis_is_rows(self, model: BaseModel) -> None:
        """Where the signature says so, and each promised axis is a length or -1."""
        specs = (*model.signature.inputs, *model.signature.outputs)

        assert all(size >= -1 for spec in specs for size in spec.shape)
        if model.signature.batch_axis:
            assert all(spec.shape[0] == -1 for spec in specs if spec.shape)

    def test_the_signature_crosses_the_wire(self, model: BaseModel) -> None:
        """It reaches the gateway as plain values, and is there what it was here."""
        crossed = msgspec.msgpack.decode(msgspec.msgpack.encode(msgspec.to_builtins(model.signature)))

        assert msgspec.convert(crossed, Signature) == model.signature

    # --- predicting -------------------------------------------------------------------

    def test_it_answers_what_is_expected(self, model: BaseModel) -> None:
        """The one thing that matters."""
        inputs = self.inputs()
        assert_fits(inputs, model.signature.inputs)

        assert_same(model.predict(inputs).tensors, self.expected(), rtol=self.rtol)

    def test_the_outputs_keep_the_signature(self, model: BaseModel) -> None:
        """Datatypes and shapes are as promised, for every output."""
        every = tuple(spec.name for spec in model.signature.outputs)

        answer = model.predict(_asking(self.inputs(), every))

        assert set(every) <= set(answer.tensors)
        assert_fits(answer, model.signature.outputs)

    def test_each_output_can_be_asked_for_alone(self, model: BaseModel) -> None:
        """And has the same values as with all others."""
        inputs = self.inputs()
        every = tuple(spec.name for spec in model.signature.outputs)
        together = model.predict(_asking(inputs, every)).tensors

        for name in every:
            alone = model.predict(_asking(inputs, (name,))).tensors
            assert_same({name: alone[name]}, {name: together[name]}, rtol=self.rtol)

    def test_a_row_does_not_depend_on_its_neighbours(self, model: BaseModel) -> None:
        """Otherwise say ``row_independent=False``: requests of different clients are joined."""
        inputs = self.inputs()
        assert inputs.rows > 1, "inputs() needs at least two rows"
        if not (self.loader.row_independent and model.signature.batch_axis):
            pytest.skip("its requests are never joined")
        together = model.predict(inputs)

        for row in range(inputs.rows):
            alone = model.predict(rows_of(inputs, row, row + 1))
            assert_same(alone.tensors, rows_of(together, row, row + 1).tensors, rtol=self.rtol)

    def test_equal_inputs_give_equal_answers(self, model: BaseModel) -> None:
        """Otherwise say ``deterministic=False``: answers are cached and may come from any replica."""
        if not self.loader.deterministic:
            pytest.skip("it does not claim to be deterministic")

        assert_same(model.predict(self.inputs()).tensors, model.predict(self.inputs()).tensors, rtol=0)

    def test_the_inputs_are_left_as_they_were(self, model: BaseModel) -> None:
        """They may be views of a request's own bytes, and read-only."""
        inputs = self.inputs()
        for tensor in inputs.tensors.values():
            if isinstance(tensor, np.ndarray):
                tensor.flags.writeable = False

        model.predict(inputs)

        assert_same(inputs.tensors, self.inputs().tensors, rtol=0)

    def test_any_thread_may_call_it(self, model: BaseModel) -> None:
        """One at a time, but not always the one that loaded it."""
        answers: list[Batch] = []
        thread = threading.Thread(target=lambda: answers.append(model.predict(self.inputs())))
        thread.start()
        thread.join()

        assert_same(answers[0].tensors, self.expected(), rtol=self.rtol)

    def test_it_can_be_warmed_up(self, model: BaseModel) -> None:
        """With its own example, or with the one that is made from its signature."""
        model.predict(model.example() or plausible(model.signature))


def _asking(inputs: Batch, outputs: tuple[str, ...]) -> Batch:
    return Batch(inputs.tensors, outputs, inputs.parameters)
