"""What every test may use: the checkout's root, shared samples of other people's recordings, and no network."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before any test imports transformers: a missing file must fail, not be downloaded.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = {
    "robo_episodes": REPOSITORY / "episodes" / "robo_episodes",
    "robo_dialog": REPOSITORY / "robo_dialog",
    "robo_server": REPOSITORY / "server" / "robo_server",
}


def _modules() -> dict[str, Path]:
    """Source of every module by its dotted name; generated code is left out."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            if "_pb2" not in path.name:
                parts = (package, *path.relative_to(folder).with_suffix("").parts)
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def samples() -> Path:
    """Recordings made by other people's software; tests that need them skip where the folder is missing."""
    folder = REPOSITORY.parent / "shared" / "samples"
    if not folder.is_dir():
        pytest.skip(f"no shared samples at {folder}")
    return folder
