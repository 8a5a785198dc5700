"""Whether a checkpoint can do all that robo-dialog asks of a model: play, learn, be exported and give verdicts.

The whole way is walked in small: two games over drawn images, two steps of tuning on them, the merged checkpoint, its
bundle, a verdict of the bundle. What a model cannot do it refuses with a message that says what works instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from robo_dialog.errors import ModelError, RoboDialogError
from robo_dialog.play.dialog import Dialog
from robo_dialog.vlm.prompts import ANSWERS, success_question
from robo_dialog.vlm.protocol import VLM, Image, Message, Prompt

if TYPE_CHECKING:
    from robo_dialog.play.engine import Engine

Outcome = Literal["passed", "refused", "failed", "not reached"]
STEPS = ("load", "score", "generate", "play", "tune", "merge", "export", "serve")
"""In their order; one that does not pass keeps those from being tried that build on it."""

_INSTRUCTIONS = ("put the red cube on the plate", "open the drawer")
_CAMERAS = ("front", "side")
_EPISODES = 8
_SAME = 1e-2
"""How far log-probabilities of a prompt may be from those of the same prompt in a batch."""
_BROKEN = (RuntimeError, ValueError, TypeError, AttributeError, IndexError, KeyError, ImportError, OSError)
"""What transformers raises at a model or processor that it does not get on with."""


@dataclass(frozen=True)
class Step:
    """One thing that was tried."""

    name: str
    outcome: Outcome
    note: str = ""
    """A figure, or why not."""
    seconds: float = 0.0


class _EndError(Exception):
    """A step did not pass; those after it need it."""


class _Walk:
    """Steps so far."""

    def __init__(self) -> None:
        self.steps = {name: Step(name, "not reached") for name in STEPS}

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        """Gives a function that notes a figure.

        Raises:
            _EndError: the step did not pass.
        """
        notes: list[str] = []
        outcome: Outcome = "passed"
        started = time.monotonic()
        try:
            yield notes.append
        except RoboDialogError as error:
            outcome, notes = "refused", [str(error)]
        except _BROKEN as error:
            outcome, notes = "failed", [f"{type(error).__name__}: {error}"]
        self.steps[name] = Step(name, outcome, "; ".join(notes), time.monotonic() - started)
        if outcome != "passed":
            raise _EndError


def check(model: str | Path, work: Path, *, device: str | None = None) -> list[Step]:
    """Walk the whole way with a model.

    Args:
        model: checkpoint folder or hub name.
        work: an empty folder for what is written on the way.
        device: torch device; a GPU where there is one, if left out.

    Returns:
        One entry for each of `STEPS`.
    """
    walk = _Walk()
    with suppress(_EndError):
        dialogs = _played(walk, model, device)
        merged = _taught(walk, model, dialogs, work)
        _exported(walk, merged, work / "bundle")
    return list(walk.steps.values())


def _played(walk: _Walk, model: str | Path, device: str | None) -> list[Dialog]:
    from robo_dialog.vlm.transformers_vlm import TransformersVLM

    with walk.step("load") as note:
        vlm = TransformersVLM(model, device=device, batch=4)
        note(f"{vlm.parameters / 1e6:.1f} million weights")
    with walk.step("score"):
        _check_scores(vlm)
    with walk.step("generate") as note:
        said = vlm.generate(_prompts(), seed=0, temperature=1.0, max_tokens=8)
        note(f"{len(set(said))} different texts")
    with walk.step("play") as note:
        dialogs = [dialog for dialog in _engine(vlm).play(range(2)) if dialog.outcome != "aborted"]
        if not dialogs:
            raise ModelError(f"{model}: asks nothing that can be answered")
        note(f"{len(dialogs)} games, {sum(len(dialog.turns) for dialog in dialogs)} questions")
    return dialogs


def _taught(walk: _Walk, model: str | Path, dialogs: Sequence[Dialog], work: Path) -> Path:
    """The merged checkpoint."""
    from robo_dialog.play.row_files import write_parquet
    from robo_dialog.play.rows import training_rows
    from robo_dialog.tune.examples import read_examples
    from robo_dialog.tune.settings import TuneSettings
    from robo_dialog.tune.training import tune
    from robo_dialog.vlm.transformers_vlm import TransformersVLM

    merged, rows = work / "merged", work / "rows.parquet"
    with walk.step("tune") as note:
        write_parquet(training_rows((replace(dialog, kept=True) for dialog in dialogs), _image), rows)
        settings = TuneSettings(steps=2, batch=2, rank=4, alpha=8, held_out=0.0, guesser_share=0.5, questions=2)
        tuned = tune(model, read_examples([rows]), [], settings, work=work / "steps", out=merged)
        if not np.isfinite(tuned.loss):
            raise ModelError(f"{model}: the loss of tuning is {tuned.loss}")
        note(f"loss {tuned.loss:.2f}" + (", conversations share rows" if tuned.packed else ""))
    with walk.step("merge"):
        _check_scores(TransformersVLM(merged, device="cpu", batch=4))
    return merged


def _exported(walk: _Walk, merged: Path, out: Path) -> None:
    from robo_dialog.detect.detector import Detector
    from robo_dialog.tune.export import export_bundle

    with walk.step("export") as note:
        published = export_bundle(merged, out)
        note(f"off by {published.parity.largest_difference:.1e} logits at most")
    with walk.step("serve") as note:
        detector = Detector.load(out)
        verdicts = [detector.verdict([_image("front0")], instruction) for instruction in _INSTRUCTIONS]
        note(", ".join(f"{verdict.outcome.name} {verdict.probability:.3f}" for verdict in verdicts))


def _prompts() -> list[Prompt]:
    images = tuple(_image(f"front{episode}") for episode in range(4))
    asked = [(Message("user", success_question(one), (image,)),) for one in _INSTRUCTIONS for image in images[:2]]
    several = (Message("user", "Which image is the target?", images), Message("assistant", "Is it red?"))
    return [*asked, (*several, Message("user", "yes"))]


def _check_scores(vlm: VLM) -> None:
    """Refuse scores that are no numbers, or that depend on what else is in a batch."""
    together = vlm.score(_prompts(), ANSWERS)
    off = float(np.abs(together - np.concatenate([vlm.score([prompt], ANSWERS) for prompt in _prompts()])).max())
    if not off <= _SAME:
        raise ModelError(f"a prompt gets log-probabilities in a batch that are {off:.2g} off from those it gets alone")


def _engine(vlm: VLM) -> Engine:
    from robo_dialog.play.engine import Engine
    from robo_dialog.play.judging import Offsets
    from robo_dialog.play.moments import Moment
    from robo_dialog.play.rules import Rules
    from robo_dialog.play.sampling import Dealer
    from robo_dialog.play.settings import Mix, Questions, Settings
    from robo_dialog.play.words import lexicon

    moments = [
        Moment(f"e{episode}", _INSTRUCTIONS[episode % 2], 0, {camera: f"{camera}{episode}" for camera in _CAMERAS})
        for episode in range(_EPISODES)
    ]
    # two turns, for a model that cannot ask may still answer what the two instructions ask
    settings = Settings(rules=Rules(turns=2), questions=Questions(samples=2))
    dealer = Dealer(moments, settings.pairing, Mix(), settings.rules.candidates, seed=0)
    return Engine(vlm, dealer, settings, _images, _INSTRUCTIONS, Offsets(lexicon(_INSTRUCTIONS)), "prompt")


def _images(frames: Sequence[str]) -> Mapping[str, Image]:
    return {frame: _image(frame) for frame in frames}


def _image(frame: str) -> Image:
    """(96, 128, 3) uint8: coloured tiles that depend on the name alone."""
    tiles = np.random.default_rng(list(frame.encode())).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return tiles.repeat(16, axis=0).repeat(16, axis=1)
