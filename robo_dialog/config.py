"""YAML files and environment variables as defaults of a command; unknown options are refused with the nearest one."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from robo_dialog.errors import ConfigError

T = TypeVar("T")


def configured(config: type[T], path: Path | None, environment: Mapping[str, str], prefix: str) -> T | None:
    """The defaults of the dataclass `config` from a file and, over them, from environment variables.

    Dotted sections of the file map to nested dataclasses. Fields that have no default anywhere stay required on the
    command line.

    Args:
        config: a command.
        path: YAML file of `option: value` lines; None reads none.
        environment: all variables.
        prefix: what the names of this command's variables begin with; the rest is the option in capitals.

    Returns:
        None if nothing is configured.

    Raises:
        ConfigError: the file is missing or is not a mapping, or a key or variable is not an option of `config`.
    """
    content = {} if path is None else _read(path)
    variables = {name: text for name, text in environment.items() if name.startswith(prefix)}
    for name, text in variables.items():
        option = name.removeprefix(prefix).lower()
        value = {option: _value_of(text, typing.get_type_hints(config).get(option))}
        _build(config, value, f"${name}")  # so that a mistake is told with the variable's name
        content |= value
    return _build(config, content, str(path)) if path is not None or variables else None


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path after --config") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds {type(content).__name__}, expected `option: value` lines")
    return {str(key).replace("-", "_"): value for key, value in content.items()}


def _value_of(text: str, hint: object) -> object:
    """What a variable says, as YAML would: text stays text, the rest is read as YAML."""
    kinds = {hint} if typing.get_origin(hint) is tuple else {hint, *typing.get_args(hint)}
    if kinds & {str, Path}:
        return text
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _build(config: type[T], content: dict[str, Any], place: str) -> T:
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
            raise ConfigError(f"{place}: unknown option `{key}`; {hint}")
        values[name] = _convert(value, hints[name], str(key), place)
    return config(**values)


def _convert(value: object, hint: object, key: str, place: str) -> object:
    """A YAML value as the field's own type."""
    choices, origin = typing.get_args(hint), typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in choices:
            return None
        return _convert(value, next(choice for choice in choices if choice is not type(None)), key, place)
    if origin is typing.Annotated:
        return _convert(value, choices[0], key, place)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return _build(typing.cast(type[object], hint), value, place)
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(item, choices[0], key, place) for item in value)
    if origin is typing.Literal and value in choices:
        return value
    for kind, accepted in _PLAIN.items():
        if hint is kind and type(value) in accepted:
            return kind(value)
    raise ConfigError(f"{place}: option `{key}` is {value!r}, expected {_words(hint)}")


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
