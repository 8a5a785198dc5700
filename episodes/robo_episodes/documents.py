"""Small files beside recordings, in which writers keep instructions and labels: JSON, JSONL, YAML, CSV and text."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import cast

import yaml

from robo_episodes.episode import Json
from robo_episodes.errors import UnreadableError
from robo_episodes.keys import Rows

MAX_BYTES = 64 << 20
MAX_YAML_BYTES = 1 << 20
"""YAML is slow to read."""

VERDICTS = "verdicts.jsonl"
"""Ends the names of files with verdicts: a detector's opinion must never come back as a label."""

ABOVE = ".../"
"""Begins the name of a file that may lie in the recording's folder or in any above it, up to the one that was named."""


def beside(folder: Path, name: str, levels: int) -> Iterator[tuple[Path, list[Path]]]:
    """Yield files by name, with wildcards in the last part, and the folder from which the name led to them.

    Args:
        folder: where the recording lies.
        name: relative path; after `.../` it is looked for in the folder, then in those above it.
        levels: how many folders above are looked at.
    """
    above = list(folder.parents)[:levels] if name.startswith(ABOVE) else []
    for base in (folder, *above):
        found = _matching(base / name.removeprefix(ABOVE))
        if found:
            yield base, found


def read_document(path: Path) -> Json:
    """Read a file by its ending; tables become lists of rows, text becomes the list of its lines.

    Raises:
        UnreadableError: it is too large, or is not what its ending says.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read ({error.strerror})") from error
    limit = MAX_YAML_BYTES if path.suffix.lower() in (".yaml", ".yml") else MAX_BYTES
    if status.st_size > limit:
        raise UnreadableError(f"{path}: has {status.st_size} bytes; the limit for such files is {limit}")
    return _read(path, status.st_mtime_ns, status.st_size)


def is_unique_below(base: Path, name: str) -> bool:
    """Whether no two files below a folder have this name; a table that gives bare names is ambiguous otherwise."""
    return _names_below(base, base.stat().st_mtime_ns)[name] < 2


def _matching(path: Path) -> list[Path]:
    if not any(sign in path.name for sign in "*?["):
        return [path] if path.is_file() else []
    try:
        changed = path.parent.stat().st_mtime_ns
    except OSError:
        return []
    return _listed(path.parent, path.name, changed)


@lru_cache(maxsize=64)
def _listed(folder: Path, pattern: str, changed: int) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.is_file() and not path.name.endswith(VERDICTS))


@lru_cache(maxsize=16)
def _names_below(base: Path, changed: int) -> Counter[str]:
    return Counter(name for _, _, names in os.walk(base) for name in names)


@lru_cache(maxsize=32)
def _read(path: Path, changed: int, size: int) -> Json:
    """Read a file once for all episodes, and again when it changed."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        value = _PARSERS.get(path.suffix.lower(), _lines)(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError, csv.Error) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnreadableError(f"{path}: cannot be read as {path.suffix[1:].upper() or 'text'}: {reason}") from error
    return Rows(value) if isinstance(value, list) else value


def _json(text: str) -> Json:
    return cast(Json, json.loads(text))


def _json_lines(text: str) -> Json:
    return [json.loads(line) for line in text.splitlines() if line.strip()]


class _PlainYaml(yaml.SafeLoader):
    """YAML without aliases, by which a few lines can stand for gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it holds aliases (*name), which are not read here")
        return super().compose_node(parent, index)


def _yaml(text: str) -> Json:
    value = _PlainYaml(text).get_single_data()
    # As JSON would have it: numbers as keys become text, dates too.
    return cast(Json, json.loads(json.dumps(value, default=str)))


def _csv(text: str) -> Json:
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    rows = csv.DictReader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    return [{str(name): value for name, value in row.items() if isinstance(value, str)} for row in rows]


def _lines(text: str) -> Json:
    return [line.strip() for line in text.splitlines() if line.strip()]


_PARSERS: dict[str, Callable[[str], Json]] = {
    ".json": _json,
    ".jsonl": _json_lines,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".csv": _csv,
    ".tsv": _csv,
}

DOCUMENTS = frozenset({*_PARSERS, ".txt"})
"""Endings of files that may tell something of the recordings beside them."""
