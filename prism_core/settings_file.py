"""Read the settings: defaults < prism.yaml < PRISM_* < flags.

A file that is written wrong is told with its line, and a key that is written twice is an
error: YAML itself would take the last one in silence.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import attrs
import yaml

from prism_core.converters import Key, Problem, config_error, dotted, structure
from prism_core.errors import ConfigError
from prism_core.settings import Settings

FILE_NAME = "prism.yaml"

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_settings(
    config: Path | None = None,
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Settings:
    """Return the settings of one server, every path absolute.

    Parameters
    ----------
    config
        The settings file; None takes ``./prism.yaml`` where there is one.
    env
        Environment variables. ``PRISM_PORT`` sets a top-level key; ``PRISM__CACHE__TTL_S``
        goes deeper, and is refused where there is no such key.
    flags
        Nested values that win over everything.
    defaults
        Nested values that hold where nobody says anything.

    Raises
    ------
    ConfigError
        With every wrong key at once.
    """
    data, origins = read_file(config)
    from_env, variables = env_values(env or {})
    merged: dict[str, Any] = {}
    for layer in (defaults or {}, data, from_env, flags or {}):
        merged = _merge(merged, _long(layer))
    if not merged.get("data_dir"):
        merged["data_dir"] = str(default_data_dir())
    settings = structure(merged, Settings, origins=origins | variables)
    return attrs.evolve(settings, data_dir=settings.data_dir.expanduser().absolute())


def default_data_dir() -> Path:
    """Return where a server keeps its data when nobody says otherwise."""
    import platformdirs

    return Path(platformdirs.user_data_dir("prism", appauthor=False))


# --- the file -------------------------------------------------------------------------------


def read_file(config: Path | None) -> tuple[dict[str, Any], dict[Key, str]]:
    """Return the file's values and the place of each key in it; both empty without a file."""
    path = config or Path(FILE_NAME)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if config is None:
            return {}, {}
        raise ConfigError(f"There is no settings file {str(config)!r}.", hint="Check --config.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The settings file {str(path)!r} cannot be read: {error}.") from error
    data, places = parse_yaml(text, path.name)
    _resolve_paths(data, path.absolute().parent)
    return data, places


def parse_yaml(text: str, source: str) -> tuple[dict[str, Any], dict[Key, str]]:
    """Return the mapping that ``text`` holds, and the place of each key: ``prism.yaml, line 3``."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return {}, {}
        lines = _lines(_entries(node, (), frozenset()), source)
        data = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        where = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{source}{where}: {error.problem or error}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: {error}.") from error
    finally:
        loader.dispose()
    if data is None:
        return {}, {}
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: expected a mapping of keys such as `port: 8000`.")
    return data, lines


def _lines(entries: Iterator[tuple[Key, int]], source: str) -> dict[Key, str]:
    lines: dict[Key, str] = {}
    problems: list[Problem] = []
    for key, line in entries:
        if key in lines and not any(key[: len(one.key)] == one.key for one in problems[-1:]):
            problems.append(Problem(key, f"this key stands twice, first at {lines[key]}."))
        lines[key] = f"{source}, line {line}"
    if problems:
        raise config_error(problems, "", lines)
    return lines


def _entries(node: Any, key: Key, above: frozenset[int]) -> Iterator[tuple[Key, int]]:
    """Yield every key below ``node`` with its line; ``above`` guards against an anchor inside itself."""
    if id(node) in above:
        return
    above |= {id(node)}
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            below = (*key, str(name.value))
            if below[-1] != "<<":
                yield below, name.start_mark.line + 1
            yield from _entries(value, below, above)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*key, index), value.start_mark.line + 1
            yield from _entries(value, (*key, index), above)


def _resolve_paths(data: dict[str, Any], base: Path) -> None:
    """Make the file's own paths absolute: they are meant from where the file lies."""
    models = data.get("models")
    places = [(data, "data_dir")]
    if isinstance(models, dict):
        places += [(model, "path") for model in models.values() if isinstance(model, dict)]
    for mapping, name in places:
        value = mapping.get(name)
        if isinstance(value, str) and value and "://" not in value:
            mapping[name] = str((base / Path(value).expanduser()).resolve())
    for section, names in (("tls", ("cert", "key", "client_ca")), ("links", ("ca",))):
        found = data.get(section)
        files: dict[str, Any] = found if isinstance(found, dict) else {}
        for name, value in files.items():
            if name in names and isinstance(value, str) and value:
                # Links are kept: a renewed certificate is often the same link to another file.
                files[name] = str((base / Path(value).expanduser()).absolute())


# --- the environment ------------------------------------------------------------------------


def env_values(env: Mapping[str, str]) -> tuple[dict[str, Any], dict[Key, str]]:
    """Return what PRISM_* variables set, nested, and the variable of each key.

    Texts stay texts; everything else is read as YAML, so ``PRISM__CACHE__ENABLED=false``
    is a bool. A list may be written ``a,b``.
    """
    top = {field.name for field in attrs.fields(Settings)}
    values: dict[str, Any] = {}
    origins: dict[Key, str] = {}
    for name, text in sorted(env.items()):
        if name.startswith("PRISM__"):
            key = tuple(name.removeprefix("PRISM__").lower().split("__"))
        elif name.startswith("PRISM_") and name.removeprefix("PRISM_").lower() in top:
            key = (name.removeprefix("PRISM_").lower(),)
        else:
            continue  # other programs have variables of this prefix too
        origins[key] = name
        _put(values, key, _env_value(name, text, _type_at(key)))
    return values, origins


def _put(values: dict[str, Any], key: tuple[str, ...], value: Any) -> None:
    *parents, last = key
    for parent in parents:
        below = values.setdefault(parent, {})
        if not isinstance(below, dict):
            raise ConfigError(f"PRISM_ variables set {parent!r} and a key below it: {dotted(key)!r}.")
        values = below
    values[last] = value


def _env_value(name: str, text: str, kind: Any) -> Any:
    if kind in (str, Path) or get_origin(kind) is typing.Literal:
        return text
    if _is_list(kind) and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    return yaml_value(text, name)


def yaml_value(text: str, name: str) -> Any:
    """Return ``text`` read as YAML; ``name`` is what the error calls it."""
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{name}: {text!r} cannot be read as a YAML value.") from error


def _is_list(kind: Any) -> bool:
    return any(get_origin(part) is tuple for part in (kind, *get_args(kind)))


def _type_at(key: tuple[str, ...]) -> Any:
    """Return the type of the setting ``key``, Any where it is free or unknown."""
    kind: Any = Settings
    for part in key:
        if attrs.has(kind):
            kind = typing.get_type_hints(kind).get(part, Any)
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
        else:
            return Any
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
    return kind


def _long(layer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a layer with `isolation: NAME` as what it is short for; the layer above may say the rest."""
    backend = layer.get("isolation")
    return {**layer, "isolation": {"backend": backend}} if isinstance(backend, str) else layer


def _merge(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """Return both, mapping by mapping; ``high`` wins."""
    merged = dict(low)
    for name, value in high.items():
        below = merged.get(name)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[name] = _merge(below, value) if both else value  # type: ignore[arg-type]
    return merged
