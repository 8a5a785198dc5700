"""YAML files as defaults of a command's dataclass; unknown keys are refused with the nearest known one."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Callable
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
        values[name] = _convert(value, hints[name], str(key), path)
    return config(**values)


def _convert(value: object, hint: object, key: str, path: Path) -> object:
    """A YAML value as the field's own type."""
    choices, origin = typing.get_args(hint), typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in choices:
            return None
        return _convert(value, next(choice for choice in choices if choice is not type(None)), key, path)
    if origin is typing.Annotated:
        return _convert(value, choices[0], key, path)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return _build(typing.cast(type[object], hint), value, path)
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(item, choices[0], key, path) for item in value)
    if origin is typing.Literal and value in choices:
        return value
    for kind, accepted in _PLAIN.items():
        if hint is kind and type(value) in accepted:
            return kind(value)
    raise ConfigError(f"{path}: option `{key}` is {value!r}, expected {_words(hint)}")


_PLAIN: dict[Callable[[Any], object], tuple[type, ...]] = {
    bool: (bool,),
    int: (int,),
    float: (float, int),
    str: (str,),
    Path: (str,),
}
"""What YAML may give for a plain type; `true` is no number."""


def _words(hint: object) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(hint)))
    if typing.get_origin(hint) is tuple:
        return "a list"
    return "a section of options" if dataclasses.is_dataclass(hint) else getattr(hint, "__name__", str(hint))
