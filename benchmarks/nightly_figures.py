"""What a season comes to: its figures, its curves and a table of its nights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Row = Mapping[str, Any]
"""One night of `results.jsonl`."""
NOTES = {
    "nights": "nights of the simulated season",
    "promotions": "nights that ended with a new champion",
    "refusals": "nights whose candidate, or whose episodes, were refused",
    "garbage_refused": "1 if the night of blank and noisy frames was refused",
    "poison_published": "1 if a candidate that learned from mixed-up instructions became champion",
    "alarms": "alarms of all nights",
    "worst_drop_points": "largest fall of a new champion below the one before, on held-out episodes of that day's lab",
    "drops_beyond_noise": "promotions of which the 95 % interval of the difference lies wholly below the one before",
    "final_gain_over_frozen_points": "balanced accuracy at the end over that of the first model, in the lab of the end",
    "mean_gain_over_frozen_points": "the same over all nights",
    "kill_points": "kills (SIGKILL) that hit a night at work",
    "kill_stages": "different stages that they hit",
    "partial_publications": "times that the store then held a version that is not whole, or no champion",
    "client_requests": "requests of a robot that asked through all nights",
    "client_errors": "of them, those without a verdict",
    "client_models": "different models whose verdicts it got",
    "rollback_s": "seconds of `robo-dialog models rollback`, start of Python included, median",
    "rollback_served_s": "the same until the server answers with the other model",
    "server_root_mb": "contents of the server's image, CPU, in 10^6 bytes",
    "server_root_gpu_mb": "the same with onnxruntime-gpu",
    "seconds_a_night": "median, kills and measurement left out",
}


def figures_of(nights: Sequence[Row]) -> dict[str, float]:
    """Figures of a season that has at least one night."""
    promoted = [one for one in nights if one["outcome"] == "promoted"]
    gains = [100 * (one["loop"] - one["frozen"]) for one in nights]
    hits = [hit for one in nights for hit in one["kills"]]
    return {
        "nights": len(nights),
        "promotions": len(promoted),
        "refusals": sum(not one["usable"] for one in nights),
        "garbage_refused": float(all(one["outcome"] == "refused" for one in nights if one["spoiled"] == "garbage")),
        "poison_published": float(any(one["spoiled"] == "poisoned" for one in promoted)),
        "alarms": sum(len(one["alarms"]) for one in nights),
        "worst_drop_points": max([0.0, *(-100 * one["change"]["difference"] for one in promoted)]),
        "drops_beyond_noise": sum(one["change"]["high"] < 0 for one in promoted),
        "final_gain_over_frozen_points": gains[-1],
        "mean_gain_over_frozen_points": float(np.mean(gains)),
        "kill_points": len(hits),
        "kill_stages": len({hit["stage"] for hit in hits}),
        "partial_publications": sum(hit["partial"] for hit in hits),
        "client_requests": sum(one["client"]["requests"] for one in nights),
        "client_errors": sum(len(one["client"]["errors"]) for one in nights),
        "client_models": len({model for one in nights for model in one["client"]["models"]}),
        "seconds_a_night": float(np.median([one["seconds"] for one in nights])),
    }


def table(nights: Sequence[Row]) -> str:
    """Markdown: a row a night."""
    rows = ["", "| night | lab | outcome | with the loop | never learned | alarms |", "|---|---|---|---|---|---|"]
    for one in nights:
        lab = " ".join(filter(None, (one["lab"], one["spoiled"])))
        counts = Counter(hit["stage"] for hit in one["kills"])
        killed = ", ".join(f"{count} x {stage}" for stage, count in counts.items())
        outcome = f"{one['outcome']} (killed: {killed})" if killed else one["outcome"]
        shares = f"{100 * one['loop']:.1f} % | {100 * one['frozen']:.1f} %"
        rows.append(f"| {one['day'] + 1} | {lab} | {outcome} | {shares} | {', '.join(one['alarms'])} |")
    return "\n".join([*rows, ""])


def plot(nights: Sequence[Row], path: Path) -> None:
    """Balanced accuracy over the nights, with and without the loop."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.5), layout="constrained")
    axes = figure.add_subplot(xlabel="night", ylabel="balanced accuracy")
    numbers = [one["day"] + 1 for one in nights]
    axes.plot(numbers, [one["loop"] for one in nights], label="learns every night")
    axes.plot(numbers, [one["frozen"] for one in nights], label="never learns", linestyle="--")
    for number, one in zip(numbers, nights, strict=True):
        if one["outcome"] != "promoted":
            axes.axvspan(number - 0.4, number + 0.4, color="red", alpha=0.08)
    for lab in dict.fromkeys(one["lab"] for one in nights):
        first = next(number for number, one in zip(numbers, nights, strict=True) if one["lab"] == lab)
        axes.annotate(lab, (first, axes.get_ylim()[0]), rotation=90, va="bottom", fontsize=8)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
