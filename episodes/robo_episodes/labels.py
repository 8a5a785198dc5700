"""What a layout's `success` and `instruction` expressions yield for one episode, and how far it may be believed."""

from __future__ import annotations

from dataclasses import dataclass

from robo_episodes.episode import Json, Trust, readable
from robo_episodes.expressions import Expression, Scope, first_value, from_json
from robo_episodes.layout import Layout

_YES = {"true", "1", "1.0", "yes", "success", "successes", "successful"}
_NO = {"false", "0", "0.0", "no", "fail", "failed", "failure", "failures"}


@dataclass(frozen=True)
class Label:
    """A success label before it is believed."""

    success: bool | None
    trust: Trust
    must_vary: bool = False
    """The label counts only if the episodes of the file differ in it."""
    notes: tuple[tuple[str, str], ...] = ()
    """Warnings as (code, text)."""


def find_label(layout: Layout, scope: Scope) -> Label:
    """Look the success label up; constants are never labels."""
    if layout.trust is Trust.CONSTANT:
        text = f"layout `{layout.name}`: its writer marks every episode a success, so that is no label"
        return Label(None, Trust.CONSTANT, notes=(("constant_success", text),))
    value, expression = first_value(layout.success, scope)
    if expression is None or layout.trust is Trust.NONE:
        return Label(None, Trust.NONE)
    success = as_success(value)
    if success is None:
        text = f"`{expression.text}` gives {value!r}, which is neither success nor failure; the label is left out"
        return Label(None, Trust.NONE, notes=(("unclear_label", text),))
    return Label(success, layout.trust, must_vary=expression.must_vary)


def believe(labels: list[Label]) -> list[Label]:
    """Take back labels of one file that had to differ between its episodes and do not."""
    seen = {label.success for label in labels if label.must_vary}
    return [label if len(seen) > 1 or not label.must_vary else _taken_back(label) for label in labels]


def as_success(value: Json) -> bool | None:
    """Read a stored success value; None if it is neither."""
    text = str(value).strip().lower()
    return True if text in _YES else False if text in _NO else None


def find_instruction(layout: Layout, scope: Scope) -> tuple[str | None, tuple[tuple[str, str], ...]]:
    """Look the instruction up; --instruction comes where the layout says, else last.

    Returns:
        The instruction or None, and warnings as (code, text).
    """
    expressions = layout.instruction
    if not any(expression.text == "arg" for expression in expressions):
        expressions = (*expressions, Expression("arg", lambda scope: scope.argument))
    value, expression = first_value(expressions, scope)
    text = readable(" ".join(value.split())) if isinstance(value, str) else ""
    if expression is None or not text:
        return None, (("no_instruction", "the recording holds no instruction; give one with --instruction"),)
    if expression.is_guess:
        return text, (("guessed_instruction", f"`{text}` is a folder's name; give --instruction if it is no task"),)
    if len(str(value)) == layout.instruction_limit:
        return text, (
            ("cut_instruction", f"`{text}` is cut: its writer keeps only {layout.instruction_limit} characters"),
        )
    return text, ()


def find_metadata(layout: Layout, scope: Scope) -> dict[str, Json]:
    """Collect what the layout keeps besides; `*` takes all keys of a JSON object."""
    metadata: dict[str, Json] = {}
    for name, expression in (layout.metadata or {}).items():
        value = expression.find(scope)
        if name == "*" and isinstance(value, str):
            value = from_json(value)
        if name == "*" and isinstance(value, dict):
            metadata.update(value)
        elif name != "*" and value is not None:
            metadata[name] = value
    return metadata


def _taken_back(label: Label) -> Label:
    text = "all episodes of the file have the same sparse reward, as files with invented rewards do; it is no label"
    return Label(None, Trust.CONSTANT, notes=(*label.notes, ("constant_reward", text)))
