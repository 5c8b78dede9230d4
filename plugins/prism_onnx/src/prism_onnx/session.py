"""Open an ``onnxruntime.InferenceSession`` as the options say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prism_core.plugin import ModelLoadFailed
from prism_onnx.faults import not_loaded
from prism_onnx.options import OnnxOptions

_CPU = "CPUExecutionProvider"
# onnxruntime's severities; what goes wrong is raised, and need not be in the log twice.
_LOG_FATAL_ONLY = 4


def open_session(path: Path, options: OnnxOptions) -> Any:
    """Return the session of the model at ``path``.

    Raises
    ------
    ModelLoadFailed, ArtifactError
        With what is wrong, without paths.
    """
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.intra_op_threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = _LOG_FATAL_ONLY
    settings.graph_optimization_level = getattr(
        onnxruntime.GraphOptimizationLevel, f"ORT_{_LEVELS[options.optimization]}"
    )
    # Threads that spin between requests would keep an idle replica's cores busy.
    for pool in ("intra_op", "inter_op"):
        settings.add_session_config_entry(f"session.{pool}.allow_spinning", "0")
    providers = _providers(options.provider_names, onnxruntime.get_available_providers())
    try:
        session = onnxruntime.InferenceSession(str(path), settings, providers=providers)
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise not_loaded(error, path) from error
    _check_active(session, providers)
    return session


_LEVELS = {
    "disable": "DISABLE_ALL",
    "basic": "ENABLE_BASIC",
    "extended": "ENABLE_EXTENDED",
    "all": "ENABLE_ALL",
}


def _providers(asked: list[str], available: list[str]) -> list[str]:
    known = {name.removesuffix("ExecutionProvider").lower(): name for name in available}
    chosen = []
    for name in asked:
        found = known.get(name.removesuffix("ExecutionProvider").lower())
        if found is None:
            raise ModelLoadFailed(
                f"There is no execution provider {name!r}; this onnxruntime has {', '.join(available)}.",
                hint="Others come with other builds, for instance CUDA with the package onnxruntime-gpu.",
            )
        chosen.append(found)
    return chosen or [_CPU]


def _check_active(session: Any, providers: list[str]) -> None:
    # A provider whose libraries are missing is dropped by onnxruntime with a line in its log.
    lost = [name for name in providers if name not in session.get_providers()]
    if lost:
        raise ModelLoadFailed(
            f"The execution provider {lost[0]!r} is part of onnxruntime but does not start on this machine.",
            hint="Are its device, driver and libraries there? The replica's log may say more.",
        )
