"""Writes the result of a benchmark: JSON for machines and a Markdown table for people, with how it was obtained."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def record(name: str, figures: Mapping[str, float], notes: Mapping[str, str]) -> None:
    """Write `results/<name>.json` and `.md`; `notes` says in words what each figure is."""
    header = origin()
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps({**header, "figures": dict(figures)}, indent=1) + "\n")
    rows = [f"| `{key}` | {value:.4g} | {notes.get(key, '')} |" for key, value in figures.items()]
    about = [f"- {key}: `{value}`" for key, value in header.items()]
    text = "\n".join([f"# {name}", "", *about, "", "| figure | value | what it is |", "|---|---|---|", *rows, ""])
    (RESULTS / f"{name}.md").write_text(text)


def origin() -> dict[str, str]:
    """How, from what, where and when this program is run."""
    return {
        "command": f"python benchmarks/{Path(sys.argv[0]).name} {' '.join(sys.argv[1:])}".strip(),
        "commit": _commit(),
        "machine": f"{_processor()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _commit() -> str:
    run = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run(["git", "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False)
    return run.stdout.strip() + ("+changes" if changed.stdout.strip() else "")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
