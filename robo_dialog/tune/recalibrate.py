"""A bundle with another calibration: the same model, graph and golden samples under a new digest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from robo_dialog.detect.bundle import read_bundle, write_bundle
from robo_dialog.detect.calibration import CALIBRATION, Calibration
from robo_dialog.detect.manifest import Manifest
from robo_dialog.tune.card import MODEL_CARD, model_card


def recalibrated(bundle: Path, calibration: Calibration, out: Path) -> Manifest:
    """Write the bundle with this calibration to a folder of its own.

    Figures in its lineage are left out, because they were measured with the calibration of before; so is a signature.

    Args:
        bundle: the bundle to start from, which is not touched.
        calibration: the new one.
        out: folder; appears complete or not at all.

    Raises:
        BundleError: the bundle is damaged, or `out` holds something else.
    """
    content = read_bundle(bundle)
    lineage = replace(content.manifest.lineage, metrics={})
    name = content.manifest.name
    card = model_card(name, lineage, calibration).encode("utf-8")
    files = {**content.contents, CALIBRATION: calibration.encode(), MODEL_CARD: card}
    return write_bundle(out, name, lineage, files)
