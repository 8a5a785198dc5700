"""`robo-dialog export`: a detector bundle from a checkpoint."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from robo_dialog.tune.subjects import read_calibration

if TYPE_CHECKING:
    from robo_dialog.detect.manifest import Lineage
    from robo_dialog.tune.export import Export as Published


@dataclass(frozen=True)
class Export:
    """Write a detector bundle (ONNX) from a SmolVLM or Idefics3 checkpoint, checked against the checkpoint itself."""

    model: Path
    """Checkpoint folder: config.json, safetensors weights, processor, tokenizer.json."""
    out: Path
    """Folder of the bundle to write; must not exist."""
    calibration: Path | None = None
    """A calibration.json to use; by default the model's probabilities are taken as they are."""
    name: str | None = None
    """Name of the model; default: the checkpoint folder's."""
    base: str | None = None
    """What was tuned, for the lineage; default: the model's own name."""
    pool: Path | None = None
    """Frame pool that it learned from, for the lineage."""
    games: Path | None = None
    """Run of `robo-dialog play` that it learned from, for the lineage."""
    json: bool = False
    """Print one JSON object instead of a table."""

    def run(self) -> int:
        """Export, check, publish, and print what was made."""
        calibration = None if self.calibration is None else read_calibration(self.calibration)
        from rich.console import Console

        from robo_dialog.tune.export import export_bundle

        with Console(stderr=True).status(f"exporting {self.model}"):
            published = export_bundle(
                self.model, self.out, calibration=calibration, lineage=self._lineage(), name=self.name
            )
        if self.json:
            print(json.dumps(_as_json(published)))
        else:
            _print(published)
        return 0

    def _lineage(self) -> Lineage:
        from robo_dialog.detect.manifest import Lineage
        from robo_dialog.play.dialog import dialogs_digest
        from robo_dialog.play.moments import digest
        from robo_dialog.play.run_folder import DIALOGS
        from robo_episodes.pool import FramePool

        return Lineage(
            base_model=self.base or self.name or self.model.resolve().name,
            pool_digest="" if self.pool is None else digest(FramePool.open(self.pool)),
            dialogs_digest="" if self.games is None else dialogs_digest(self.games / DIALOGS),
        )


def _as_json(published: Published) -> dict[str, object]:
    parity = published.parity
    return {
        "bundle": str(published.bundle),
        "name": published.manifest.name,
        "digest": published.manifest.digest,
        "bytes": published.size,
        "parity": {
            "samples": parity.samples,
            "batch_sizes": list(parity.batch_sizes),
            "prompt_lengths": list(parity.prompt_lengths),
            "largest_difference": parity.largest_difference,
        },
        "seconds": round(published.seconds, 3),
    }


def _print(published: Published) -> None:
    from rich.console import Console
    from rich.table import Table

    parity = published.parity
    table = Table("bundle", str(published.bundle))
    table.add_row("model", published.manifest.name)
    table.add_row("digest", published.manifest.digest)
    table.add_row("size", f"{published.size / 1e6:.1f} MB")
    table.add_row("parity", f"{parity.largest_difference:.1e} logits at most, on {parity.samples} samples")
    table.add_row("time", f"{published.seconds:.1f} s")
    Console().print(table)
