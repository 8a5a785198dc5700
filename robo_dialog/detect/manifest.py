"""`manifest.json`: what a bundle is called, where it comes from, and the SHA-256 of everything in it."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from robo_dialog.detect.document import canonical_json, parse_document
from robo_dialog.errors import BundleError

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"

MEGABYTE = 1 << 20
LARGEST = {
    "MODEL_CARD.md": MEGABYTE,
    "calibration.json": MEGABYTE,
    "golden.npz": 64 * MEGABYTE,
    "preprocess.json": MEGABYTE,
    "scorer.onnx": 2047 * MEGABYTE,
    "tokenizer.json": 64 * MEGABYTE,
}
"""Every file of a bundle besides the manifest, with its largest size in bytes (protobuf ends at 2 GiB)."""

_LARGEST_METRIC = 1e12
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FileEntry:
    """What the manifest says of one file."""

    sha256: str
    """64 hex digits."""
    size: int
    """Bytes."""


@dataclass(frozen=True)
class Lineage:
    """Where a model comes from; a field is empty where it is not known."""

    base_model: str = ""
    """The model that was fine-tuned, or the recipe's name for one trained from scratch."""
    pool_digest: str = ""
    """Digest of the frame pool it was trained on."""
    dialogs_digest: str = ""
    """Digest of the dialogs it was tuned on."""
    recipe: str = ""
    """How it was trained: command or configuration, in words or YAML."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Figures of the evaluation at the time of export, for example "balanced_accuracy"."""


@dataclass(frozen=True)
class Manifest:
    """The checked content of `manifest.json`."""

    name: str
    """Name of the model, for example "tiny"."""
    lineage: Lineage
    files: Mapping[str, FileEntry]
    """By file name; exactly the names of `LARGEST`."""
    digest: str
    """SHA-256 over everything else in the manifest, hence over the hashes of all files: the model's identity."""
    schema_version: int = SCHEMA_VERSION

    def encode(self) -> bytes:
        """The bytes of `manifest.json`; a manifest has one spelling only."""
        return canonical_json(asdict(self))


def build_manifest(name: str, lineage: Lineage, contents: Mapping[str, bytes]) -> Manifest:
    """The manifest of a bundle with these files; metrics that are not finite are left out."""
    metrics = {key: float(value) for key, value in lineage.metrics.items() if math.isfinite(value)}
    files = {file: FileEntry(hashlib.sha256(data).hexdigest(), len(data)) for file, data in contents.items()}
    manifest = Manifest(name, replace(lineage, metrics=metrics), files, digest="")
    return replace(manifest, digest=_digest(manifest))


def parse_manifest(data: bytes) -> Manifest:
    """Read `manifest.json` and check that not one of its bytes differs from what was written.

    Raises:
        BundleError: another schema version, wrong keys or types, or the digest does not fit the content.
    """
    _check_version(data)
    document = parse_document(MANIFEST, data, ("digest", "files", "lineage", "name", "schema_version"))
    origin = document.section("lineage", ("base_model", "dialogs_digest", "metrics", "pool_digest", "recipe"))
    lineage = Lineage(
        base_model=origin.text("base_model"),
        pool_digest=origin.text("pool_digest"),
        dialogs_digest=origin.text("dialogs_digest"),
        recipe=origin.text("recipe", 65536),
        metrics=origin.table("metrics", -_LARGEST_METRIC, _LARGEST_METRIC),
    )
    listed = document.section("files", LARGEST)
    files = {}
    for name, largest in LARGEST.items():
        entry = listed.section(name, ("sha256", "size"))
        if not _SHA256.fullmatch(entry.text("sha256")):
            entry.refuse("sha256", "64 hex digits")
        files[name] = FileEntry(entry.text("sha256"), entry.count("size", 0, largest))
    manifest = Manifest(document.text("name", 256), lineage, files, document.text("digest", 64))
    if manifest.digest != _digest(manifest) or manifest.encode() != data:
        raise BundleError(
            f"{MANIFEST}: its digest does not fit its content; it was altered or damaged, copy the bundle again"
        )
    return manifest


def _check_version(data: bytes) -> None:
    """Tell a bundle of another version from a damaged one; `parse_document` judges everything else."""
    try:
        version = json.loads(data)["schema_version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    if version != SCHEMA_VERSION:
        raise BundleError(
            f"{MANIFEST}: `schema_version` is {version!r:.40}, this robo-dialog reads {SCHEMA_VERSION}; "
            f"export the model again with this version"
        )


def _digest(manifest: Manifest) -> str:
    return hashlib.sha256(replace(manifest, digest="").encode()).hexdigest()
