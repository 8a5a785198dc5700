"""YAML files as defaults of a command's dataclass; unknown keys are refused with the nearest known one."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml

from robo_dialog.errors import ConfigError

T = TypeVar("T")


def from_yaml(config: type[T], path: Path) -> T:
    """Read `path` into the dataclass `config`; dotted sections map to nested dataclasses.

    Fields that the file leaves out and that have no default stay required on the command line.

    Raises:
        ConfigError: the file is missing, is not a mapping, or has a key that `config` does not have.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path after --config") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds {type(content).__name__}, expected `option: value` lines")
    return _build(config, content, path)


def _build(config: type[T], content: dict[str, Any], path: Path) -> T:
    import tyro

    hints = typing.get_type_hints(config)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            values[field.name] = tyro.MISSING
    for key, value in content.items():
        name = str(key).replace("-", "_")
        if name not in hints:
            close = difflib.get_close_matches(name, hints, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"known: {', '.join(sorted(hints))}"
            raise ConfigError(f"{path}: unknown option `{key}`; {hint}")
        hint_type = hints[name]
        if dataclasses.is_dataclass(hint_type) and isinstance(value, dict):
            values[name] = _build(hint_type, value, path)  # type: ignore[arg-type]
        else:
            values[name] = _convert(value, hint_type)
    return config(**values)


def _convert(value: Any, hint: Any) -> Any:
    """Give plain YAML values the field's own type where they differ (paths, tuples)."""
    if hint is Path and isinstance(value, str):
        return Path(value)
    if typing.get_origin(hint) is tuple and isinstance(value, list):
        inner = typing.get_args(hint)[0]
        return tuple(_convert(item, inner) for item in value)
    return value
