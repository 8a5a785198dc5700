"""What `tiny` is taught to be asked: yes/no questions about a simulated state, their wordings and true answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robo_dialog.vlm.prompts import success_question
from robo_episodes.sim.state import NAMES, WORDINGS, Goal, State, all_goals

_TEXTS: dict[str, tuple[str, ...]] = {
    "present": ("Is there a {a}?", "Can you see a {a}?"),
    "on_plate": ("Is the {a} on the plate?", "Is the {a} lying on the plate?"),
    "on_table": ("Is the {a} on the table?", "Is the {a} lying on the table?"),
    "on_top": ("Is the {a} on the {b}?", "Is the {a} on top of the {b}?"),
    "held": ("Is the gripper holding the {a}?", "Is the {a} in the gripper?"),
    "empty_plate": ("Is the plate empty?", "Is there nothing on the plate?"),
    "empty_gripper": ("Is the gripper empty?", "Is the gripper holding nothing?"),
    "stacked": ("Is an object on another object?", "Is there a stack of objects?"),
    "open": ("Is the drawer open?", "Has the drawer been pulled out?"),
    "closed": ("Is the drawer closed?", "Is the drawer shut?"),
    "count": ("Are there exactly {a} objects?", "Do you see exactly {a} objects?"),
}

COUNTS = {"two": 2, "three": 3, "four": 4}


@dataclass(frozen=True)
class Question:
    """A yes/no question: its kind, up to two arguments, and which wording is used."""

    kind: str
    a: str = ""
    b: str = ""
    wording: int = 0

    def text(self) -> str:
        """The words put to the model."""
        if self.kind == "success":
            return success_question(self.a)
        forms = _TEXTS[self.kind]
        return forms[self.wording % len(forms)].format(a=self.a, b=self.b)


def answer(question: Question, state: State) -> bool:
    """The true answer. For kind "success", `a` is an instruction in any of its wordings."""
    a, b = question.a, question.b
    match question.kind:
        case "success":
            return GOALS[a].reached(state)
        case "present":
            return a in state.present
        case "on_plate":
            return a in state.on_plate
        case "on_table":
            return a in state.on_table
        case "on_top":
            return (a, b) in state.on_top
        case "held":
            return state.held == a
        case "empty_plate":
            return not state.on_plate
        case "empty_gripper":
            return state.held is None
        case "stacked":
            return bool(state.on_top)
        case "open":
            return state.drawer_open
        case "closed":
            return state.drawer_closed
        case "count":
            return len(state.present) == COUNTS[a]
    raise ValueError(f"unknown question kind {question.kind!r}")


GOALS: dict[str, Goal] = {
    goal.text(wording): goal for goal in all_goals() for wording in range(len(WORDINGS[goal.family]))
}
"""Every instruction in every wording; "move the X off the plate" and the like are unique to one goal."""


def state_questions(names: tuple[str, ...] = NAMES) -> list[Question]:
    """Every state question about the given objects, in its first wording."""
    flat = [name for name in names if not name.endswith("ball")]
    singles = [Question(kind, name) for kind in ("present", "on_plate", "on_table", "held") for name in names]
    pairs = [Question("on_top", x, y) for x in flat for y in flat if x != y]
    plain = [Question(kind) for kind in ("empty_plate", "empty_gripper", "stacked", "open", "closed")]
    return [*singles, *pairs, *plain, *(Question("count", word) for word in COUNTS)]


def sample_questions(state: State, goal: Goal, rng: np.random.Generator, count: int) -> list[tuple[Question, bool]]:
    """Questions on one state: the episode's own success question, other instructions, state questions.

    Within every kind of question "yes" and "no" are drawn alike where both are true of something, so that no kind can
    be answered without looking.
    """
    chosen = [Question("success", goal.text(int(rng.integers(4))))]
    names = tuple(sorted(state.present)) + tuple(rng.choice(NAMES, 2).tolist())
    pools = (
        [Question("success", other.text(int(rng.integers(4)))) for other in all_goals(tuple(dict.fromkeys(names)))],
        state_questions(tuple(dict.fromkeys(names))),
    )
    true = [[q for q in pool if answer(q, state)] for pool in pools]
    for index in range(count - 1):
        pool = 0 if index < (count - 1) // 3 else 1
        chosen.append(_reworded(_balanced(pools[pool], set(true[pool]), rng), rng))
    return [(question, answer(question, state)) for question in chosen]


def _balanced(pool: list[Question], true: set[Question], rng: np.random.Generator) -> Question:
    """The kind first, then the answer, then the question."""
    kinds = sorted({_kind(question) for question in pool})
    kind = kinds[int(rng.integers(len(kinds)))]
    wanted = bool(rng.integers(2))
    of_kind = [question for question in pool if _kind(question) == kind]
    fitting = [question for question in of_kind if (question in true) == wanted] or of_kind
    return fitting[int(rng.integers(len(fitting)))]


def _kind(question: Question) -> str:
    """The question's kind; of success questions, the family of the instruction."""
    return GOALS[question.a].family if question.kind == "success" else question.kind


def _reworded(question: Question, rng: np.random.Generator) -> Question:
    return Question(question.kind, question.a, question.b, int(rng.integers(2)))


def caption(state: State) -> str:
    """One or two sentences that say what can be seen, in a fixed order."""
    parts = [f"the {name} on the plate" for name in sorted(state.on_plate)]
    parts += [f"the {upper} on the {lower}" for upper, lower in sorted(state.on_top)]
    parts += [f"the {state.held} in the gripper"] if state.held else []
    parts += [f"the {name} on the table" for name in sorted(state.on_table)]
    drawer = "open" if state.drawer_open else "closed" if state.drawer_closed else "half open"
    return f"{', '.join(parts) or 'nothing on the table'}. the drawer is {drawer}."


def corpus() -> list[str]:
    """Every text the recipe can say; the tokenizer is trained on it."""
    texts = [question.text() for question in state_questions()]
    texts += [Question(q.kind, q.a, q.b, 1).text() for q in state_questions()]
    texts += [success_question(instruction) for instruction in GOALS]
    texts += [f"the {a} on the plate, the {a} in the gripper, the {a} on the table." for a in NAMES]
    texts += [f"the drawer is {word}. nothing on the table." for word in ("open", "closed", "half open")]
    return texts
