"""At home in the ecosystem: families of models, learning from verdicts, installation, the start of commands.

    python benchmarks/ecosystem.py [families] [learning] [sizes] [install] [help]     # all, if none is named

Figures of parts that are not run stay as they were. `sizes` and `install` ask the package index.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

from record import RESULTS, record

ROOT = Path(__file__).resolve().parent.parent
CLIENT = ROOT / "deploy" / "client"
LIMITS = ("-c", ROOT / "constraints.txt")
RUNS = 7
NOTES = {
    "families_passed": "families that play and are tuned, and are exported and served, or say what serves them",
    "families_refused": "families that cannot be tuned as published, and say why",
    "reward_return_before": "true success rate of the policy before learning",
    "reward_return_truth": "the same after learning from the truth",
    "reward_return_verdicts": "the same after learning from verdicts alone",
    "reward_return_ratio": "reward_return_verdicts / reward_return_truth",
    "first_verdict_s": "seconds from an empty environment to a verdict: pip install of downloaded wheels, detect",
    "client_mb": "megabytes of robo-dialog-client and what it needs, beyond numpy and pip",
    "client_dependencies": "packages that robo-dialog-client names",
    "base_mb": "megabytes of robo-dialog without extras and what it needs, beyond numpy and pip",
    "help_ms_worst": "milliseconds of the slowest --help, the median of 7 runs of each command",
    "help_cpu_ms_worst": "the same in time of a processor, which other programs on the machine spoil less",
}
FIRST = "import sys; from robo_dialog.cli import main; main(sys.argv[1:])"


def families() -> dict[str, float]:
    """Walk the whole way with a small random model of every family."""
    sys.path.insert(0, str(ROOT / "tests"))
    import vlm_families
    from robo_dialog.tune.conformance import check

    passed = refused = 0
    for name in vlm_families.FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = vlm_families.write(name, Path(folder) / "model")
            steps = {step.name: step for step in check(checkpoint, Path(folder) / "work", device="cpu")}
        if "failed" in {step.outcome for step in steps.values()}:
            raise SystemExit(f"{name} fails: {steps}")
        tuned = steps["merge"].outcome == "passed"
        passed, refused = passed + tuned, refused + (not tuned)
        print(name, {step.name: step.outcome for step in steps.values()}, file=sys.stderr)
    return {"families_passed": passed, "families_refused": refused}


def learning() -> dict[str, float]:
    """Train a policy on verdicts and one on the truth."""
    sys.path.insert(0, str(ROOT / "docs" / "examples"))
    from learn_from_verdicts import Search, compare

    from robo_dialog.detect import Detector
    from robo_dialog.models import embedded_bundle
    from robo_dialog.rl.asking import local

    rates = compare(local(Detector.load(embedded_bundle(), threads=1)), Search(), episodes=100)
    return {
        "reward_return_before": rates["before"],
        "reward_return_truth": rates["from_truth"],
        "reward_return_verdicts": rates["from_verdicts"],
        "reward_return_ratio": rates["from_verdicts"] / rates["from_truth"],
    }


def sizes() -> dict[str, float]:
    """Install the client, and the package without extras, in empty environments."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        client, whole = _wheel(CLIENT, work / "client-dist"), _wheel(ROOT, work / "dist")
        names = tomllib.loads((CLIENT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
        return {
            "client_mb": _installed_mb(work / "client", client),
            "client_dependencies": len(names),
            "base_mb": _installed_mb(work / "base", whole),
        }


def install() -> dict[str, float]:
    """Install downloaded wheels in an empty environment and get a verdict."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        wheel = _wheel(ROOT, work / "dist")
        _run(sys.executable, "-m", "pip", "download", "-q", *LIMITS, "-d", work / "wheels", f"{wheel}[serve]")
        frame = work / "frame.png"
        _run(sys.executable, "-c", _FRAME, frame)
        python, source = _environment(work / "serve"), ("--no-index", "--find-links", work / "wheels")
        started = time.monotonic()
        _run(python, "-m", "pip", "install", "-q", *source, "robo-dialog[serve]")
        _run(python, "-c", FIRST, "detect", frame, "--task", "put the red cube on the plate")
        return {"first_verdict_s": time.monotonic() - started}


def _wheel(source: Path, out: Path) -> Path:
    _run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", out, source)
    return next(out.glob("*.whl"))


def _installed_mb(folder: Path, wheel: Path) -> float:
    python = _environment(folder)
    before = _megabytes(folder)
    _run(python, "-m", "pip", "install", "-q", *LIMITS, wheel)
    numpy = sum(_megabytes(path) for path in folder.glob("lib/python*/site-packages/numpy*"))
    return _megabytes(folder) - before - numpy


_FRAME = "import sys, cv2, numpy; cv2.imwrite(sys.argv[1], numpy.full((96, 96, 3), 128, numpy.uint8))"


def _environment(path: Path) -> Path:
    _run(sys.executable, "-m", "venv", path)
    return path / "bin" / "python"


def _megabytes(path: Path) -> float:
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file() and not one.is_symlink()]
    return sum(one.stat().st_size for one in files) / 1e6


def _run(*command: str | Path) -> None:
    # Without what this process was started with: an empty environment knows no PYTHONPATH.
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run([str(part) for part in command], check=True, env=clean, stdout=subprocess.DEVNULL)


def help_texts() -> dict[str, float]:
    """Start every command seven times, turn by turn, so that a busy moment spoils one run of each at most."""
    names = sorted(point.name for point in entry_points(group="robo_dialog.commands"))
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for name in names * RUNS:
        started, before = time.monotonic(), _cpu_s()
        subprocess.run([sys.executable, "-c", FIRST, name, "--help"], check=True, stdout=subprocess.DEVNULL)
        times[name].append((1e3 * (time.monotonic() - started), 1e3 * (_cpu_s() - before)))
    medians = {
        name: [statistics.median(column) for column in zip(*found, strict=True)] for name, found in times.items()
    }
    for name, (wall, cpu) in medians.items():
        print(f"{name}: {wall:.0f} ms, {cpu:.0f} ms of a processor", file=sys.stderr)
    walls, cpus = zip(*medians.values(), strict=True)
    return {"help_ms_worst": max(walls), "help_cpu_ms_worst": max(cpus)}


def _cpu_s() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


PARTS = {"families": families, "learning": learning, "sizes": sizes, "install": install, "help": help_texts}


def main() -> None:
    """Run the parts that are named, and write all figures."""
    path = RESULTS / "ecosystem.json"
    figures = json.loads(path.read_text(encoding="utf-8"))["figures"] if path.exists() else {}
    for part in sys.argv[1:] or PARTS:
        figures |= PARTS[part]()
    record("ecosystem", {name: figures[name] for name in NOTES if name in figures}, NOTES)


if __name__ == "__main__":
    main()
