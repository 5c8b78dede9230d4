"""Convert one version's model, prove the result, measure it, and write down what came of it.

Runs instead of serving, in a process of its own that ends with it: what converts a model
must not stay in the memory of what serves it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import attrs
import msgspec
import numpy as np

from prism_core.errors import ModelLoadFailed, PrismError
from prism_core.optimization import (
    EXAMPLE_FILE,
    FORMS_DIRECTORY,
    OUTCOME_FILE,
    TASK_FILE,
    Optimization,
    Outcome,
    Pace,
    Task,
)
from prism_core.plugins import find
from prism_core.protocols import BaseModel, ReplicaSpec
from prism_core.runtime.loading import Loaded, load_cold
from prism_core.runtime.optimizing.pace import is_faster, measure, sizes_of
from prism_core.runtime.optimizing.proof import Proof, answers, usual_sizes
from prism_core.runtime.optimizing.trials import drawn, edges, jumps, like
from prism_core.specs import Artifact, Candidate, Conversion, Loader, Optimizer
from prism_core.types import Batch

SEED = 20_261

log = logging.getLogger("prism.optimize")


def run(spec: ReplicaSpec) -> int:
    """Do the task in ``spec.directory`` and leave an `Outcome` there; whatever happens is one."""
    begun = time.perf_counter()
    try:
        outcome = _optimized(spec)
    except PrismError as error:
        outcome = Outcome(Optimization("failed", error.message))
    except MemoryError:
        outcome = Outcome(Optimization("failed", "the conversion needed more memory than it may have"))
    except Exception as error:
        log.exception("optimize.failed")
        outcome = Outcome(Optimization("failed", f"{type(error).__name__}: {error}"))
    took = round(time.perf_counter() - begun, 2)
    told = attrs.evolve(outcome, optimization=attrs.evolve(outcome.optimization, took_s=took))
    (spec.directory / OUTCOME_FILE).write_bytes(msgspec.json.encode(told))
    return 0


def _optimized(spec: ReplicaSpec) -> Outcome:
    task = msgspec.json.decode((spec.directory / TASK_FILE).read_bytes(), type=Task)
    loaded = load_cold(spec)
    optimizer: Optimizer = find(loaded.plugins.records["prism_optimizers"], task.optimizer, "optimizer")
    missing = optimizer.available()
    if missing:
        return Outcome(Optimization("failed", missing, optimizer.name))
    example = None
    if task.media_type:
        body = (spec.directory / EXAMPLE_FILE).read_bytes()
        example = loaded.session.read(memoryview(body), task.media_type)
    forms = spec.directory / FORMS_DIRECTORY
    forms.mkdir()
    return Comparison(loaded, optimizer, example).outcome(spec.artifact, forms)


class Comparison:
    """One model, its trial rows, and the forms that are held against it."""

    def __init__(self, loaded: Loaded, optimizer: Optimizer, example: Batch | None) -> None:
        self._model = loaded.session.model
        self._manifest = loaded.session.manifest
        self._options = loaded.options
        self._plugins = loaded.plugins
        self._optimizer = optimizer
        self._generator = np.random.default_rng(SEED)
        self._trials = list(self._ordinary(example))
        ordinary = self._trials[0]
        self._trials += edges(self._model.signature, ordinary)
        self._trials += jumps(self._model, ordinary, self._generator)
        names = tuple(spec.name for spec in self._model.signature.outputs)
        told = answers(self._model, self._trials[0], names)
        self._usual = usual_sizes(told) if isinstance(told, dict) else {}

    def outcome(self, path: Path, directory: Path) -> Outcome:
        """Try the candidates one by one; the first that passes is served."""
        artifact = Artifact(path, self._manifest.artifact)
        reasons: dict[str, list[str]] = {}
        best = self._report("kept")
        try:
            for candidate in self._optimizer.convert(
                Conversion(artifact, self._options, self._model, directory)
            ):
                report = self._tried(candidate)
                if report.state == "served":
                    return Outcome(report, candidate.path.relative_to(directory).as_posix())
                reasons.setdefault(report.reason, []).append(candidate.dtype)
                best = report
                if report.paces:  # it is right and merely slow: a cruder one is no answer to that
                    break
        except PrismError as error:
            reasons.setdefault(error.message, []).append("")
        return Outcome(attrs.evolve(best, reason=_told(reasons) or "the optimizer has no form for it"))

    def _tried(self, candidate: Candidate) -> Optimization:
        report = self._report("kept", dtype=candidate.dtype)
        if candidate.problem:
            return attrs.evolve(report, reason=candidate.problem)
        try:
            twin = self._loaded(candidate)
        except PrismError as error:
            return attrs.evolve(report, reason=error.message)
        if twin.signature != self._model.signature:
            return attrs.evolve(report, reason="its signature is another one")
        proof = Proof(self._model, twin, self._optimizer.tolerance, self._usual)
        reason = next(filter(None, map(proof.objection, self._trials)), "")
        report = attrs.evolve(report, rows=proof.rows, largest_error=proof.largest_error)
        if reason:
            return attrs.evolve(report, reason=reason)
        paces = self._paces(twin)
        if not is_faster(paces.values()):
            return attrs.evolve(report, paces=paces, reason=_too_slow(paces))
        return attrs.evolve(report, state="served", paces=paces)

    def _loaded(self, candidate: Candidate) -> BaseModel:
        into: Loader = find(self._plugins.loaders, self._optimizer.into, "loader")
        try:
            return into.load(Artifact(candidate.path, self._manifest.artifact), self._options)
        except PrismError:
            raise
        except Exception as error:
            log.exception("optimize.form_not_loaded")
            raise ModelLoadFailed(f"it does not load: {type(error).__name__}: {error}") from error

    def _ordinary(self, example: Batch | None) -> Iterator[Batch]:
        model, generator = self._model, self._generator
        if example:
            yield like(example, generator)
        if self._optimizer.rows:
            yield from self._optimizer.rows(model, generator)
        yield drawn(model.signature, generator)

    def _paces(self, twin: BaseModel) -> dict[str, Pace]:
        joins = self._manifest.row_independent and self._model.signature.batch_axis
        rows = self._accepted()
        if rows is None:
            return {}
        sizes = sizes_of(min(self._manifest.batching.max_batch_rows, rows.rows), joins)
        return {str(size): measure(self._model, twin, rows, size) for size in sizes}

    def _accepted(self) -> Batch | None:
        """Return ordinary rows that the model takes all together."""
        names = self._model.signature.computed
        return next((b for b in self._trials if isinstance(answers(self._model, b, names), dict)), None)

    def _report(self, state: str, **facts: object) -> Optimization:
        packages = self._optimizer.packages
        return msgspec.convert(
            {
                "state": state,
                "optimizer": self._optimizer.name,
                "loader": self._optimizer.into,
                "tolerance": self._optimizer.tolerance,
                "versions": {name: found for name in packages if (found := _version(name))},
                **facts,
            },
            Optimization,
        )


def _told(reasons: dict[str, list[str]]) -> str:
    """Return why no form passed; a reason of several forms is told once."""
    if len(reasons) == 1:
        return next(iter(reasons))
    named = {reason: " and ".join(filter(None, forms)) for reason, forms in reasons.items()}
    return "; ".join(f"{forms}: {reason}" if forms else reason for reason, forms in named.items())


def _too_slow(paces: dict[str, Pace]) -> str:
    if not paces:
        return "no row was found to measure it with"
    return "it is no faster: " + ", ".join(
        f"{paces[size].optimized_us:.0f} instead of {paces[size].original_us:.0f} us for {size} rows"
        for size in paces
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
