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
        value = {option: _value_of(text, _hint(config, option))}
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


def _build(config: type[T], content: Mapping[str, Any], place: str, start: T | None = None) -> T:
    """A dataclass from what is configured; the rest is that of `start`, or the class's own defaults."""
    import tyro

    hints = typing.get_type_hints(config)
    fields = {field.name: field for field in dataclasses.fields(config)}  # type: ignore[arg-type]
    values = {}
    for name, value in _by_field(config, content, place).items():
        before = _default(fields[name]) if start is None else getattr(start, name)
        values[name] = _convert(value, hints[name], name, place, before)
    if start is not None:
        return dataclasses.replace(start, **values)  # type: ignore[type-var]
    required = [one.name for one in fields.values() if _has_no_default(one)]
    return config(**dict.fromkeys(required, tyro.MISSING) | values)


def _by_field(config: type, content: Mapping[str, Any], place: str) -> dict[str, Any]:
    """What is configured by names of fields: an option may belong to a section that the command line does not name."""
    paths = _paths(config)
    by_path = []
    for key, value in content.items():
        option = str(key).replace("-", "_")
        if option not in paths:
            close = difflib.get_close_matches(option, paths, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"known: {', '.join(sorted(paths))}"
            raise ConfigError(f"{place}: unknown option `{key}`; {hint}")
        by_path.append((paths[option], value))
    found: dict[str, Any] = {}
    for path, value in sorted(by_path, key=lambda one: len(one[0])):
        *sections, name = path
        inner = found
        for section in sections:
            part = inner.get(section, {})
            if not isinstance(part, dict):
                raise ConfigError(f"{place}: option `{section}` is {part!r}, expected a section of options")
            inner[section] = dict(part)
            inner = inner[section]
        inner[name] = value
    return found


def _paths(config: type) -> dict[str, tuple[str, ...]]:
    """Where each option lies, by the names that it has: of its field, and on the command line."""
    hints = typing.get_type_hints(config, include_extras=True)
    nested: dict[str, tuple[str, ...]] = {}
    own = {}
    for field in dataclasses.fields(config):
        annotated = typing.get_origin(hints[field.name]) is typing.Annotated
        hint, *about = typing.get_args(hints[field.name]) if annotated else (hints[field.name],)
        shown = next((one.name for one in about if getattr(one, "name", None) is not None), field.name)
        if shown:
            own[shown] = (field.name,)
        else:
            nested |= {name: (field.name, *path) for name, path in _paths(hint).items()}
        own[field.name] = (field.name,)
    return nested | own


def _hint(config: type, option: str) -> object:
    """Type of an option; None if there is no such option."""
    hint: Any = config
    for name in _paths(config).get(option, ()):
        hint = typing.get_type_hints(hint)[name]
    return None if hint is config else hint


def _has_no_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _default(field: dataclasses.Field[Any]) -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def _convert(value: object, hint: object, key: str, place: str, start: object = None) -> object:
    """A YAML value as the field's own type; a section changes what it names of `start`."""
    choices, origin = typing.get_args(hint), typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in choices:
            return None
        return _convert(value, next(choice for choice in choices if choice is not type(None)), key, place, start)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return _build(typing.cast(type[object], hint), value, place, start)
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
