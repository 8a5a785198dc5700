"""Training rows as tuning takes them: all that is said about the same images lies together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from robo_dialog.errors import ConfigError
from robo_dialog.play.rows import Row
from robo_episodes.images import encode_png

Speaker = Literal["user", "assistant"]
_COLUMNS = ("images", "messages", "role")
_READ_AT_ONCE = 256


@dataclass(frozen=True)
class Talk:
    """One conversation about the images of an example; the assistant's turns are learned."""

    messages: tuple[tuple[Speaker, str], ...]


@dataclass(frozen=True)
class Example:
    """Images and the conversations about them.

    names: of the images, unique for their content. images: as PNG or JPEG files.
    """

    role: str
    names: tuple[str, ...]
    images: tuple[bytes, ...]
    talks: tuple[Talk, ...]

    @property
    def draw(self) -> float:
        """A number in [0, 1) that depends on the names alone: the same images are held out in every round."""
        digest = hashlib.sha256("\n".join(self.names).encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2**48


def read_examples(paths: Sequence[Path]) -> list[Example]:
    """All rows of Parquet files that `robo-dialog filter --rows` wrote, by their images; a talk counts once.

    Raises:
        ConfigError: a file cannot be read, or holds no training rows.
    """
    found: dict[tuple[str, tuple[str, ...]], tuple[tuple[bytes, ...], dict[Talk, None]]] = {}
    for path in paths:
        for role, names, images, talk in _rows(path):
            _, talks = found.setdefault((role, names), (images, {}))
            talks[talk] = None
    return [Example(role, names, images, tuple(talks)) for (role, names), (images, talks) in found.items()]


def examples_of(rows: Iterable[Row]) -> list[Example]:
    """Rows as examples, by their images, as `read_examples` would read them from a file."""
    found: dict[tuple[str, tuple[str, ...]], tuple[tuple[bytes, ...], dict[Talk, None]]] = {}
    for row in rows:
        key = (str(row.role), row.image_names)
        if key not in found:
            found[key] = (tuple(encode_png(image) for image in row.messages[0].images), {})
        found[key][1][Talk(tuple((message.role, message.text) for message in row.messages))] = None
    return [Example(role, names, images, tuple(talks)) for (role, names), (images, talks) in found.items()]


def split(examples: Iterable[Example], share: float) -> tuple[list[Example], list[Example]]:
    """Examples to learn from, and those held out: about `share` of the images."""
    learned: list[Example] = []
    held: list[Example] = []
    for example in examples:
        (held if example.draw < share else learned).append(example)
    return learned, held


def _rows(path: Path) -> Iterator[tuple[str, tuple[str, ...], tuple[bytes, ...], Talk]]:
    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in _COLUMNS if name not in file.schema_arrow.names]
            if missing:
                raise ConfigError(f"{path}: has no column {missing[0]!r}; write rows with: robo-dialog filter --rows")
            for batch in file.iter_batches(_READ_AT_ONCE, columns=list(_COLUMNS)):
                for row in batch.to_pylist():
                    names = tuple(image["path"] for image in row["images"])
                    images = tuple(image["bytes"] for image in row["images"])
                    talk = Talk(tuple((message["role"], message["content"]) for message in row["messages"]))
                    yield row["role"], names, images, talk
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(f"{path}: cannot be read as training rows ({error}); write it again") from error
