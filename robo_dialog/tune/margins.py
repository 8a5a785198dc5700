"""What a model answers to success questions about frames, asked once and kept in a small file. Knows no label.

A margin (logit of "yes" minus logit of "no") depends on the model, the frame and the wording, and on nothing else. So
the file belongs to a model, not to a pool: of a pool that grew, only what is new is asked. One JSON object a line:

    {"schema_version": 1, "model": "tiny-0123456789abcdef"}
    {"wording": "lift the red cube", "augmentation": null, "margins": {"89abcdef01234567": -3.25}}

Lines are only ever added, and one that was cut short by a crash is dropped: an interrupted pass goes on where it
stopped.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedRandom
from pathlib import Path

import numpy as np

from robo_dialog.errors import ConfigError, ModelError
from robo_dialog.play.frames import FrameStore
from robo_dialog.play.views import augment
from robo_dialog.tune.judges import Judge
from robo_dialog.vlm.protocol import Image

SCHEMA_VERSION = 1
DIGITS = 6
"""Decimal places of a margin, so that what is read from the file is what was written."""
BATCH = 256
"""Questions that are asked together and written together."""


@dataclass(frozen=True)
class Query:
    """The success question in one wording about one frame."""

    frame_id: str
    wording: str
    """An instruction as `prompts.normalized` gives it."""
    augmentation: int | None = None
    """Seed of the augmentation that the frame is shown under; None: as it was recorded."""


@dataclass
class Margins:
    """Grows with every answer."""

    model: str
    """Identity of the model that answered."""
    known: dict[Query, float] = field(default_factory=dict)
    """In logits."""
    file: BufferedRandom | None = None
    """Where new ones are written, if anywhere."""

    def add(self, found: Mapping[Query, float]) -> None:
        """Take answers, on the disk when this returns."""
        rounded = {query: round(margin, DIGITS) for query, margin in found.items()}
        self.known |= rounded
        if self.file is not None and rounded:
            self.file.write("".join(_lines(rounded)).encode())
            self.file.flush()
            os.fsync(self.file.fileno())


@contextmanager
def opened(path: Path | None, model: str) -> Iterator[Margins]:
    """The margins of a model that the file holds, to be read and added to; nobody else can write to it meanwhile.

    Args:
        path: the file, made if it is missing; None: nothing is kept.
        model: identity of the model.

    Raises:
        ConfigError: the file is of another model, holds something else, is in use or cannot be written.
    """
    if path is None:
        yield Margins(model)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); choose another place") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"{path}: another process is writing to it; wait for it to end") from error
        margins = Margins(model, _read(file, path, model), file)
        if not file.tell():
            file.write((json.dumps({"schema_version": SCHEMA_VERSION, "model": model}) + "\n").encode())
        yield margins


def ask(
    judge: Judge,
    store: FrameStore,
    queries: Iterable[Query],
    margins: Margins,
    *,
    batch: int = BATCH,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Ask what the margins do not know yet, batch by batch.

    Args:
        judge: the model.
        store: frames of the pool.
        queries: what shall be known afterwards.
        margins: grows.
        batch: questions at once.
        on_batch: called with the number of queries that are answered, and of all, at the start and after every batch.

    Raises:
        ModelError: some questions got no answer; the answers to the others are kept.
        PoolError: the pool has no such frame.
    """
    wanted = list(dict.fromkeys(queries))
    missing = [query for query in wanted if query not in margins.known]
    unanswered = 0
    on_batch(len(wanted) - len(missing), len(wanted))
    for start in range(0, len(missing), batch):
        some = missing[start : start + batch]
        found = judge.margins(images_of(store, some), [query.wording for query in some])
        margins.add({query: m for query, m in zip(some, found.tolist(), strict=True) if np.isfinite(m)})
        unanswered += int((~np.isfinite(found)).sum())
        on_batch(len(wanted) - len(missing) + start + len(some), len(wanted))
    if unanswered:
        raise ModelError(
            f"{judge.identity}: gave no usable answer to {unanswered} of {len(missing)} questions; the others are "
            "kept, the same command asks those again"
        )


def images_of(store: FrameStore, queries: Sequence[Query]) -> list[Image]:
    """Frames as the queries want them; equal ones are the same object, which models look at once."""
    plain = store.images(query.frame_id for query in queries)
    shown: dict[tuple[str, int | None], Image] = {(frame_id, None): image for frame_id, image in plain.items()}
    for query in queries:
        if query.augmentation is not None and (query.frame_id, query.augmentation) not in shown:
            image = augment(plain[query.frame_id], query.augmentation)
            shown[query.frame_id, query.augmentation] = image
    return [shown[query.frame_id, query.augmentation] for query in queries]


def _lines(margins: Mapping[Query, float]) -> Iterator[str]:
    groups: dict[tuple[str, int | None], dict[str, float]] = {}
    for query, margin in margins.items():
        groups.setdefault((query.wording, query.augmentation), {})[query.frame_id] = margin
    for (wording, augmentation), found in groups.items():
        line = {"wording": wording, "augmentation": augmentation, "margins": found}
        yield json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n"


def _read(file: BufferedRandom, path: Path, model: str) -> dict[Query, float]:
    """All whole lines; what follows the last of them is cut off."""
    file.seek(0)
    content = file.read()
    lines = content[: content.rfind(b"\n") + 1].splitlines()
    try:
        if lines:
            _check_header(json.loads(lines[0]), path, model)
        known: dict[Query, float] = {}
        for line in lines[1:]:
            known |= _parsed(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: holds no margins ({error!r}); delete it, or name another file") from error
    file.truncate(content.rfind(b"\n") + 1)
    file.seek(0, os.SEEK_END)
    return known


def _check_header(header: Mapping[str, object], path: Path, model: str) -> None:
    if header["schema_version"] != SCHEMA_VERSION or header["model"] != model:
        raise ConfigError(
            f"{path}: holds the margins of {header['model']} (version {header['schema_version']}), not of {model} "
            f"(version {SCHEMA_VERSION}); name another file"
        )


def _parsed(line: Mapping[str, object]) -> dict[Query, float]:
    margins, augmentation = line["margins"], line["augmentation"]
    if not isinstance(margins, dict) or not isinstance(augmentation, int | None):
        raise TypeError("a line of another kind")
    return {Query(str(frame), str(line["wording"]), augmentation): float(m) for frame, m in margins.items()}
