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
    values = {} if path is None else _values(config, _read(path), str(path))
    variables = {name: text for name, text in environment.items() if name.startswith(prefix)}
    for name, text in variables.items():
        option = name.removeprefix(prefix).lower()
        _merge(values, _values(config, {option: _value_of(text, _hint(config, option))}, f"${name}"))
    return _build(config, values) if path is not None or variables else None


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


def _build(config: type[T], values: Mapping[str, Any], start: T | None = None) -> T:
    """A dataclass of values by field; the rest is that of `start`, or the class's own defaults."""
    import tyro

    hints = typing.get_type_hints(config)
    fields = {field.name: field for field in dataclasses.fields(config)}  # type: ignore[arg-type]
    built = {}
    for name, value in values.items():
        before = _default(fields[name]) if start is None else getattr(start, name)
        built[name] = _build(_plain(hints[name]), value, before) if isinstance(value, dict) else value
    if start is not None:
        return dataclasses.replace(start, **built)  # type: ignore[type-var]
    required = [one.name for one in fields.values() if _has_no_default(one)]
    return config(**dict.fromkeys(required, tyro.MISSING) | built)


def _values(config: type, content: Mapping[str, Any], place: str) -> dict[str, Any]:
    """What is configured, by field and of the field's own type; a section is a dictionary of the same kind.

    An option may belong to a section that the command line does not name.
    """
    paths, hints = _paths(config), typing.get_type_hints(config)
    named = []
    for key, value in content.items():
        option = str(key).replace("-", "_")
        if option not in paths:
            close = difflib.get_close_matches(option, paths, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"known: {', '.join(sorted(paths))}"
            raise ConfigError(f"{place}: unknown option `{key}`; {hint}")
        named.append((option, value))
    found: dict[str, Any] = {}
    for option, value in sorted(named, key=lambda one: len(paths[one[0]])):
        field, *inside = paths[option]
        hint = hints[field]
        own = _values(hint, {option: value}, place) if inside else _convert(value, hint, option, place)
        _merge(found, {field: own})
    return found


def _merge(values: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Put values over others, section by section."""
    for name, value in over.items():
        if isinstance(value, dict) and isinstance(values.get(name), dict):
            _merge(values[name], value)
        else:
            values[name] = value


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


def _plain(hint: Any) -> Any:  # noqa: ANN401
    """A type without None and annotations."""
    choices, origin = typing.get_args(hint), typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _plain(next(choice for choice in choices if choice is not type(None)))
    return _plain(choices[0]) if origin is typing.Annotated else hint


def _convert(value: object, hint: object, key: str, place: str) -> object:
    """A YAML value as the field's own type; a section by the names of its fields."""
    if value is None and type(None) in typing.get_args(hint):
        return None
    plain = _plain(hint)
    choices, origin = typing.get_args(plain), typing.get_origin(plain)
    if dataclasses.is_dataclass(plain) and isinstance(value, dict):
        return _values(typing.cast(type, plain), value, place)
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(item, choices[0], key, place) for item in value)
    if origin is typing.Literal and value in choices:
        return value
    for kind, accepted in _PLAIN.items():
        if plain is kind and type(value) in accepted:
            return kind(value)
    raise ConfigError(f"{place}: option `{key}` is {value!r}, expected {_words(plain)}")


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
