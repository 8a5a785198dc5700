"""What a store knows of its versions: where each comes from, and what differs between two."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import TypeAlias

from robo_dialog.detect.bundle import read_bundle
from robo_dialog.detect.calibration import CALIBRATION, parse_calibration
from robo_dialog.detect.store import VERSION_DIGITS, ModelStore, StoredModel
from robo_dialog.errors import UnknownVersionError

Facts: TypeAlias = Mapping[str, object]
"""By dotted name, in order; values are plain, missing ones None."""

_DESCENT = re.compile(rf"(?:.*[@/])?([0-9a-f]{{{VERSION_DIGITS}}})")
"""A lineage's `base_model` that names a version: by itself, after a name and `@`, or as the folder of a checkpoint."""


def find(store: ModelStore, version: str) -> StoredModel:
    """A version of the store.

    Raises:
        UnknownVersionError: the store has none of this name, or its manifest cannot be read.
    """
    store.path(version)
    for model in store.versions():
        if model.version == version:
            return model
    raise UnknownVersionError(f"{store.root}: the manifest of {version} cannot be read; publish the bundle again")


def facts(store: ModelStore, version: str) -> Facts:
    """Everything about one version, verified as it is read.

    Raises:
        UnknownVersionError: the store has no such version.
        BundleError: the bundle is damaged.
    """
    model = find(store, version)
    bundle = read_bundle(store.path(version))
    manifest = bundle.manifest
    calibration = asdict(parse_calibration(bundle.contents[CALIBRATION]))
    lineage = asdict(manifest.lineage)
    metrics = lineage.pop("metrics")
    return {
        "version": version,
        "name": manifest.name,
        "digest": manifest.digest,
        "published": model.published.isoformat(),
        "bytes": sum(entry.size for entry in manifest.files.values()),
        "signed": bundle.signature is not None,
        **{f"lineage.{key}": value for key, value in lineage.items()},
        **{f"metrics.{key}": value for key, value in sorted(metrics.items())},
        **{f"calibration.{key}": value for key, value in calibration.items()},
        **{f"files.{name}": entry.sha256 for name, entry in sorted(manifest.files.items())},
    }


def differences(first: Facts, second: Facts) -> dict[str, tuple[object, object]]:
    """What two versions do not have in common, by name."""
    names = [*first, *(name for name in second if name not in first)]
    return {name: (first.get(name), second.get(name)) for name in names if first.get(name) != second.get(name)}


def ancestry(store: ModelStore, version: str) -> list[StoredModel]:
    """A version and the versions that it descends from, youngest first, as far as the store has them.

    Raises:
        UnknownVersionError: the store has no such version.
    """
    known = {model.version: model for model in store.versions()}
    line = [find(store, version)]
    while (parent := _parent(line[-1])) in known and known[parent] not in line:
        line.append(known[parent])
    return line


def _parent(model: StoredModel) -> str:
    found = _DESCENT.fullmatch(model.manifest.lineage.base_model)
    return found[1] if found else ""
