"""The embedded model `tiny`: weights to fine-tune (`tiny`) and the detector bundle made of them (`tiny-bundle`)."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from robo_dialog.errors import BundleError, ModelError


def embedded_model() -> Path:
    """Folder of the embedded model, as `AutoModelForImageTextToText.from_pretrained` reads it.

    Raises:
        ModelError: this install does not have it.
    """
    folder = _folder("tiny")
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder}: no embedded model here; name one with --model, or make it: robo-dialog pretrain")
    return folder


def embedded_bundle() -> Path:
    """Folder of the embedded model's detector bundle.

    Raises:
        BundleError: this install does not have it.
    """
    folder = _folder("tiny-bundle")
    if not (folder / "manifest.json").is_file():
        raise BundleError(f"{folder}: no embedded bundle here; name one with --bundle, or make it: robo-dialog export")
    return folder


def _folder(name: str) -> Path:
    return Path(str(files(__name__) / name))
