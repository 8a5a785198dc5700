"""Kept dialogs as chat messages with images for both roles; `row_files` writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from robo_dialog.play.dialog import Dialog, DialogTurn, Source, View
from robo_dialog.play.settings import Pairing
from robo_dialog.play.views import augment
from robo_dialog.vlm.prompts import ANSWERS, ask_request, guess_request
from robo_dialog.vlm.protocol import Image, Message, Prompt

Role = Literal["describer", "guesser"]
Asked: TypeAlias = tuple[str, int, str]
"""Episode, steps from its end, and question."""


@dataclass(frozen=True)
class Row:
    """One conversation of one role of one kept dialog."""

    role: Role
    messages: Prompt
    """User and assistant in turn; the assistant's are what the role learns to say. The first one holds all images."""
    image_names: tuple[str, ...]
    """File name of each image; images of one name are equal."""
    sources: tuple[Source, ...]
    """Who thought of each question in it."""
    instruction: str
    pairing: Pairing
    round: int
    game_id: int

    @property
    def trained(self) -> tuple[bool, ...]:
        """Per message, whether the role learns to say it."""
        return tuple(message.role == "assistant" for message in self.messages)

    @property
    def images(self) -> dict[str, Image]:
        """Images by file name."""
        return dict(zip(self.image_names, self.messages[0].images, strict=True))


def training_rows(dialogs: Iterable[Dialog], image_of: Callable[[str], Image]) -> Iterator[Row]:
    """Rows of all kept dialogs, in their order: those of the Describer, then one for the Guesser.

    The filters alone decide what is kept; every question trains, whoever thought of it.

    Args:
        dialogs: judged by the filters; those not kept give no row.
        image_of: the recorded frame of an id, (H, W, 3) uint8 RGB.
    """
    kept = [dialog for dialog in dialogs if dialog.kept]
    known = settled(kept)
    for dialog in kept:
        yield from _describer_rows(dialog, image_of, known)
        yield _guesser_row(dialog, image_of)


def describer_rows(dialogs: Iterable[Dialog], image_of: Callable[[str], Image]) -> Iterator[Row]:
    """The Describer's part of `training_rows`, one row per answer and view; rows of one episode follow each other.

    Answers that are not `settled` give no row.
    """
    kept = sorted((dialog for dialog in dialogs if dialog.kept), key=lambda dialog: dialog.describer.episode_id)
    known = settled(kept)
    for dialog in kept:
        yield from _describer_rows(dialog, image_of, known)


def settled(dialogs: Iterable[Dialog]) -> dict[Asked, bool]:
    """What the dialogs agree on; of answers that contradict each other nobody knows which is right."""
    said: dict[Asked, bool] = {}
    both: set[Asked] = set()
    for dialog in dialogs:
        for turn in dialog.turns:
            if said.setdefault(_asked(dialog, turn), turn.answer) != turn.answer:
                both.add(_asked(dialog, turn))
    return {asked: answer for asked, answer in said.items() if asked not in both}


def _asked(dialog: Dialog, turn: DialogTurn) -> Asked:
    return dialog.describer.episode_id, dialog.describer.from_end, turn.question


def _describer_rows(dialog: Dialog, image_of: Callable[[str], Image], known: Mapping[Asked, bool]) -> Iterator[Row]:
    """What was answered is true of the scene, so it is learned in every view of the target that was in play."""
    turns = [turn for turn in dialog.turns if known.get(_asked(dialog, turn)) == turn.answer]
    for view in dialog.target_views:
        seen = _seen(view, image_of)
        for turn in turns:
            messages = (Message("user", turn.question, (seen,)), Message("assistant", _word(turn.answer)))
            yield _row(dialog, "describer", messages, (view,), (turn.source,))


def _guesser_row(dialog: Dialog, image_of: Callable[[str], Image]) -> Row:
    views = dialog.candidates
    images = tuple(_seen(view, image_of) for view in views)
    messages = [Message("user", ask_request(len(views), dialog.instruction), images)]
    for number, turn in enumerate(dialog.turns, start=1):
        word = _word(turn.answer)
        messages.append(Message("assistant", turn.question))
        messages.append(Message("user", guess_request(word) if number == len(dialog.turns) else word))
    messages.append(Message("assistant", str(dialog.target + 1)))
    return _row(dialog, "guesser", tuple(messages), views, tuple(turn.source for turn in dialog.turns))


def _row(dialog: Dialog, role: Role, messages: Prompt, views: tuple[View, ...], sources: tuple[Source, ...]) -> Row:
    names = tuple(_name(view) for view in views)
    return Row(role, messages, names, sources, dialog.instruction, dialog.pairing, dialog.round, dialog.game_id)


def _word(answer: bool) -> str:
    return ANSWERS[answer].strip()


def _seen(view: View, image_of: Callable[[str], Image]) -> Image:
    image = image_of(view.frame_id)
    return image if view.augmentation is None else augment(image, view.augmentation)


def _name(view: View) -> str:
    return f"{view.frame_id}.png" if view.augmentation is None else f"{view.frame_id}-{view.augmentation}.png"
