"""Rows of labels for the tests of reviews."""

from __future__ import annotations

from robo_dialog.relabel.rows import Evidence, LabelRow


def row(name: str, probability: float, label: bool | None = None, *cameras: float) -> LabelRow:
    """A row with the threshold 0.5; `cameras` are the probabilities of single cameras."""
    return LabelRow(
        episode_id=name,
        source=f"/recordings/{name}.mp4",
        step=None,
        outcome="SUCCESS" if probability >= 0.5 else "FAILURE",
        probability=probability,
        threshold=0.5,
        judged_by="tiny@ab12",
        instruction="lift it",
        note=None,
        agreement=1.0,
        cameras=tuple(Evidence(f"c{k}", 3, value) for k, value in enumerate(cameras or (probability,))),
        label=label,
        trust="none" if label is None else "label",
        fulfilled=(),
        model_digest="ab12",
        base_model="",
        pool_digest="",
        dialogs_digest="",
        time="2026-01-02T03:04:05+00:00",
    )
