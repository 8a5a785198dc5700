"""Weighs the contents of the server's image, made without Docker by the script that the Dockerfile calls."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

IMAGE = Path(__file__).resolve().parent.parent / "deploy" / "image"


def root_megabytes(work: Path) -> dict[str, float]:
    """Sizes in 10^6 bytes of the roots for CPU and GPU; empty on machines where they cannot be made."""
    if shutil.which("apt-get") is None or os.getuid() != 0:
        return {}
    wheels = (work / "wheels").resolve()
    if not list(wheels.glob("opencv*.whl")):
        subprocess.run([IMAGE / "opencv.sh", wheels], check=True)
    return {"server_root_mb": _weigh(work, "cpu", wheels), "server_root_gpu_mb": _weigh(work, "gpu", wheels)}


def _weigh(work: Path, runtime: str, wheels: Path) -> float:
    root = (work / f"root-{runtime}").resolve()
    if not root.exists():
        part = root.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        subprocess.run([IMAGE / "server-root.sh", part, runtime, wheels], check=True)
        part.replace(root)
    files = (path.lstat() for path in root.rglob("*") if path.is_symlink() or path.is_file())
    return round(sum(one.st_size for one in files) / 1e6, 1)
