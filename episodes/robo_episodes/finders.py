"""The kinds of value expressions: from the text after `kind:` to a function that finds values in a scope."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import NDArray

from robo_episodes.documents import beside, read_document
from robo_episodes.episode import Json
from robo_episodes.errors import LayoutError, UnreadableError
from robo_episodes.keys import Key, Subject, fill, parse_key
from robo_episodes.scope import Scope, plain

Finder: TypeAlias = Callable[[Scope], list[Json]]
"""From a scope to what is found; None and empty values count as nothing."""

REDUCTIONS = ("any", "last", "max", "sparse")

_DOCUMENTS = (".json", ".jsonl", ".yaml", ".yml", ".csv", ".tsv", ".txt")
_ATTRIBUTE = re.compile(r"(?P<group>[^@]+)@(?P<name>[^#]+)(?:#(?P<key>.+))?")
_DATASET = re.compile(
    rf"(?P<path>[^\s#]+)(?:\s+(?P<reduction>{'|'.join(REDUCTIONS)}))?(?:\s+~\s*(?P<regex>[^#]+))?(?:#(?P<key>.+))?"
)
_FILE = re.compile(r"(?P<file>[^#]+)(?:#(?P<key>.+))?")
_NO_KEY = Key(())


def _attribute(text: str, rest: str, field: str) -> Finder:
    match = _ATTRIBUTE.fullmatch(rest)
    if match is None:
        raise LayoutError(f"`{text}`: expected attr:<group>@<name>, for example attr:.@success")
    group, name, key = match["group"], match["name"], _key(match)

    def find(scope: Scope) -> list[Json]:
        value = None if scope.tree is None else scope.tree.attribute(scope.base, group, name)
        return key.follow(plain(value), scope.subject(scope.folder))

    return find


def _dataset(text: str, rest: str, field: str) -> Finder:
    match = _DATASET.fullmatch(rest.strip())
    if match is None:
        raise LayoutError(
            f"`{text}`: expected ds:<path>, then one of {', '.join(REDUCTIONS)}, then ~<regex> or >=<number>"
        )
    path, reduction, key = match["path"], match["reduction"], _key(match)
    named = None if match["regex"] is None else _last_match(text, match["regex"], field)

    def find(scope: Scope) -> list[Json]:
        array = None if scope.tree is None else scope.tree.array(scope.base, path)
        if array is None or array.size == 0:
            return []
        values = key.follow(_reduce(array, reduction), scope.subject(scope.folder))
        return values if named is None else [named(value) for value in values if isinstance(value, str)]

    return find


def _reduce(array: NDArray[Any], reduction: str | None) -> Json:
    numeric = array.dtype.kind in "biuf"
    if reduction == "last":
        return plain(array.reshape(len(array), -1)[-1, 0]) if array.ndim else plain(array)
    if reduction == "max" and numeric:
        return plain(array.max())
    if reduction == "any" and numeric:
        return bool(array.any())
    if reduction == "sparse" and numeric:
        # A shaped reward passes through other values, and reaching 1 means nothing there.
        return bool((array == 1).any()) if bool(((array == 0) | (array == 1)).all()) else None
    return plain(array.reshape(-1)[0]) if array.size == 1 and reduction is None else None


def _exists(text: str, rest: str, field: str) -> Finder:
    return lambda scope: [True] if scope.tree is not None and scope.tree.has(scope.base, rest) else []


def _file(text: str, rest: str, field: str) -> Finder:
    match = _FILE.fullmatch(rest)
    if match is None:
        raise LayoutError(f"`{text}`: expected file:<name>#<key>")
    if any(sign in match["file"].rpartition("/")[0] for sign in "*?["):
        raise LayoutError(f"`{text}`: wildcards stand in the last part of the name only, for example ../labels_*.csv")
    key = _key(match)

    def find(scope: Scope) -> list[Json]:
        name = fill(match["file"], {name: _harmless(value) for name, value in scope.names.items()})
        if name is None:
            return []
        problem: UnreadableError | None = None
        for base, files in beside(scope.folder, name, scope.levels):
            found = []
            for file in files:
                try:
                    found += _in_file(file, key, scope.subject(base))
                except UnreadableError as error:
                    problem = error
            if found:
                return found
        if problem is not None:
            raise problem
        return []

    return find


def _in_file(file: Path, key: Key, subject: Subject) -> list[Json]:
    """Return what a key finds in a file; of files that are no documents, that they are there."""
    if key is _NO_KEY and file.suffix.lower() not in _DOCUMENTS:
        return [True]
    values = key.follow(read_document(file), subject)
    return [_joined(value) for value in values] if file.suffix.lower() == ".txt" else values


def _harmless(value: str) -> str:
    """Keep a value that a recording gives from leading elsewhere."""
    return re.sub(r"[/\\*?\[\]]", "_", value)


def _joined(lines: Json) -> Json:
    """Join the lines of a text file, unless one was chosen."""
    return " ".join(map(str, lines)) if isinstance(lines, list) else lines


def _path(text: str, rest: str, field: str) -> Finder:
    named = _last_match(text, rest, field)
    return lambda scope: [named(scope.path)]


def _last_match(text: str, regex: str, field: str) -> Callable[[str], str | None]:
    """Return what finds the last match of a regex and gives its group that is named like the field."""
    try:
        pattern = re.compile(regex)
    except re.error as error:
        raise LayoutError(f"`{text}`: is no regular expression ({error})") from None
    if field in pattern.groupindex:
        group: str | int = field
    elif field in ("instruction", "success"):
        raise LayoutError(f"`{text}`: has no group (?P<{field}>...)")
    else:
        group = 0

    def find(value: str) -> str | None:
        matches = [match[group] for match in pattern.finditer(value) if match[group]]
        return _spaced(matches[-1], field) if matches else None

    return find


def _folder(text: str, rest: str, field: str) -> Finder:
    if not re.fullmatch(r"-[1-9]", rest):
        raise LayoutError(f"`{text}`: expected dir:-1 (the file's folder) to dir:-9")

    def find(scope: Scope) -> list[Json]:
        folders = [part for part in scope.path.split("/")[:-1] if part]
        index = int(rest)
        return [_spaced(folders[index], field)] if -index <= len(folders) else []

    return find


def _spaced(text: str, field: str) -> str:
    """Read the underscores of an instruction in a file name as spaces."""
    return text.replace("_", " ") if field == "instruction" else text


def _constant(text: str, rest: str, field: str) -> Finder:
    return lambda scope: [fill(rest, {name: _spaced(value, field) for name, value in scope.names.items()})]


def _key(match: re.Match[str]) -> Key:
    return parse_key(match["key"]) if match["key"] else _NO_KEY


FINDERS: dict[str, Callable[[str, str, str], Finder]] = {
    "attr": _attribute,
    "ds": _dataset,
    "has": _exists,
    "file": _file,
    "path": _path,
    "dir": _folder,
    "const": _constant,
}
"""By kind: from the whole expression, what follows the kind, and the field it is for."""
