"""Which tokens of a conversation a role learns to say: exactly its own words, by the model's own chat template.

Nothing is searched for in texts, and no template has to be marked: what the template adds with one more message is that
message, whatever stands around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robo_dialog.errors import ModelError
from robo_dialog.tune.examples import Talk
from robo_dialog.vlm.chat import Chat, Turn

CLOSING_WEIGHT = 0.1
"""Weight of a token that ends a turn: it is learned at once, and would halve what a one-word answer teaches."""


@dataclass(frozen=True)
class Spoken:
    """A conversation, cut after its last image and again where the role first speaks.

    prefix: text up to and with the last image mark. asked: text from there to the role's first words. asked_ids: (A,)
    its tokens. ids: (S,) tokens of the rest. weights: (S,) how much each of them is learned, 0 for what the role does
    not say; the words of one turn weigh 1 together.
    """

    prefix: str
    asked: str
    asked_ids: tuple[int, ...]
    ids: tuple[int, ...]
    weights: tuple[float, ...]


def spoken(chat: Chat, talk: Talk, images: int) -> Spoken:
    """A conversation whose first message shows this many images.

    Raises:
        ModelError: the chat template gives one message another form when others follow, so that its words cannot be
            found exactly.
    """
    turns = [(role, images if place == 0 else 0, text) for place, (role, text) in enumerate(talk.messages)]
    whole = chat.render(turns, ask=False)
    spans = [_span(chat, turns, place, whole) for place, (role, _, _) in enumerate(turns) if role == "assistant"]
    first = spans[0][0]
    prefix, asked = chat.cut(whole[:first])
    encoded = chat.tokenizer(whole[first:], add_special_tokens=False, return_offsets_mapping=True)
    weights = [0.0] * len(encoded["input_ids"])
    closing = set(chat.tokenizer.all_special_ids)
    for start, end in spans:
        inside = [
            place
            for place, (begin, stop) in enumerate(encoded["offset_mapping"])
            if begin + first >= start and stop + first <= end and stop > begin
        ]
        words = [place for place in inside if encoded["input_ids"][place] not in closing]
        for place in inside:
            weights[place] = 1 / len(words) if place in words else CLOSING_WEIGHT
    return Spoken(prefix, asked, tuple(chat.tokens(asked)), tuple(encoded["input_ids"]), tuple(weights))


def _span(chat: Chat, turns: Sequence[Turn], place: int, whole: str) -> tuple[int, int]:
    """Where the words of one message of the assistant stand in the whole text, its end mark included."""
    before = chat.render(turns[:place], ask=True)
    after = chat.render(turns[: place + 1], ask=False)
    if not (whole.startswith(after) and after.startswith(before)):
        raise ModelError(
            "the model's chat template rewrites earlier messages when later ones are added; words to learn cannot be "
            "told from others: give the checkpoint a chat_template.jinja that only appends"
        )
    return len(before), len(after.rstrip())
