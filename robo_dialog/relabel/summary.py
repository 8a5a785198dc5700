"""What a relabelled data set looks like in numbers, and how far verdicts agree with the labels that were there."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import get_args

from robo_dialog.relabel.rows import DIGITS, LabelRow
from robo_episodes.episode import EpisodeWarning, Json
from robo_episodes.verdicts import Outcome


@dataclass
class Counts:
    """Of one instruction, or of all."""

    outcomes: Counter[str] = field(default_factory=Counter)
    labels: Counter[tuple[bool, bool]] = field(default_factory=Counter)
    """Episodes by (label, whether success was called the likelier side)."""

    def add(self, row: LabelRow) -> None:
        """Count an episode."""
        self.outcomes[row.outcome] += 1
        if row.label is not None:
            self.labels[row.label, row.called] += 1

    @property
    def labelled(self) -> int:
        """Episodes with a label."""
        return self.labels.total()

    @property
    def disagreements(self) -> int:
        """Episodes whose label says something else than the likelier side."""
        return self.labels[True, False] + self.labels[False, True]

    @property
    def verdicts(self) -> dict[str, Json]:
        """Episodes by outcome."""
        return {outcome: self.outcomes[outcome] for outcome in get_args(Outcome)}

    def as_json(self) -> dict[str, Json]:
        """Counts."""
        counts: dict[str, Json] = {"labelled": self.labelled, "disagreements": self.disagreements}
        return {"episodes": self.outcomes.total(), **self.verdicts, **counts}


@dataclass
class Summary:
    """Grows with every row."""

    bundle: str
    """Name of the bundle and the beginning of its digest."""
    instructions_asked: int = 0
    """Instructions that every episode was asked about besides its own."""
    all: Counts = field(default_factory=Counts)
    instructions: dict[str, Counts] = field(default_factory=dict)
    problems: Counter[str] = field(default_factory=Counter)
    proposals: int = 0
    """Instructions that episodes carried out besides their own."""
    rescued: int = 0
    """Episodes called FAILURE that carried out another instruction."""

    def add(self, row: LabelRow) -> None:
        """Count an episode."""
        self.all.add(row)
        self.instructions.setdefault(row.instruction, Counts()).add(row)
        self.proposals += len(row.fulfilled)
        self.rescued += row.outcome == "FAILURE" and bool(row.fulfilled)

    def add_problem(self, problem: EpisodeWarning) -> None:
        """Count what could not be judged."""
        self.problems[problem.code] += 1

    def as_json(self) -> dict[str, Json]:
        """The object that `--json` prints; what nothing determines is null."""
        counts = self.all
        success, failure = (counts.labels[label, True] + counts.labels[label, False] for label in (True, False))
        recalls = _share(counts.labels[True, True], success), _share(counts.labels[False, False], failure)
        both = success and failure
        baselines: dict[str, Json] = {
            f"always_{word}": {
                "agreement": _share(count, counts.labelled),
                "balanced_accuracy": 0.5 if both else None,
            }
            for word, count in (("yes", success), ("no", failure))
        }
        return {
            "bundle": self.bundle,
            "episodes": counts.outcomes.total(),
            "verdicts": counts.verdicts,
            "agreement": _share(counts.labelled - counts.disagreements, counts.labelled),
            "disagreements": counts.disagreements,
            "labels": {"success": success, "failure": failure, "none": counts.outcomes.total() - counts.labelled},
            "recall_success": recalls[0],
            "recall_failure": recalls[1],
            "balanced_accuracy": round(sum(one or 0 for one in recalls) / 2, DIGITS) if both else None,
            "baselines": baselines,
            "instructions": {text: one.as_json() for text, one in sorted(self.instructions.items())},
            "hindsight": {
                "instructions": self.instructions_asked,
                "proposals": self.proposals,
                "failures_that_did_something_else": self.rescued,
            },
            "unreadable": self.problems["unreadable"] + self.problems["unsupported"],
            "problems": dict(self.problems),
        }


def _share(count: int, of: int) -> float | None:
    return round(count / of, DIGITS) if of else None
