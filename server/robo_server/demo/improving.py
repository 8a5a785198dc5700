"""The loop of the demonstration: one round of games on episodes without labels, and the detector that comes of it."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

from robo_dialog.errors import RoboDialogError
from robo_server.demo.cases import DomainName

IMPROVED = "target, after a round of games"
"""What the page calls the answers of the improved detector."""
OPTIONS = ("--rounds", "1", "--games", "20000", "--tune.steps", "80", "--held-out", "0.5")
"""A short round; half of the episodes are held out, so that the boundary of every family is found on enough of them."""
_IMPROVE = "from robo_dialog.cli import main; main()"


def improved(domain: DomainName, episodes: int, seed: int, folder: Path) -> Path:
    """The bundle after one round on newly simulated episodes, none of which is asked about later.

    Training needs torch, which the server never loads: the round is a process of its own. What an interrupted one left
    in `folder`, or the same one before, is not made again.

    Raises:
        RoboDialogError: episodes cannot be rendered, or the round failed; what it said is on stderr.
    """
    from robo_episodes.commands import Ingest
    from robo_episodes.sim.command import Simulate

    name = f"{domain}-unlabelled-{seed}-{episodes}"
    recording, pool, out = folder / f"{name}.hdf5", folder / f"{name}.pool", folder / f"{name}.rounds"
    with redirect_stdout(sys.stderr):
        Simulate(out=recording, domain=domain, episodes=episodes, seed=seed, split="train", every=10**9).run()
        Ingest(paths=(recording,), out=pool).run()
    given = ["improve", "--pool", str(pool), "--out", str(out), "--json", "--seed", str(seed), *OPTIONS]
    ended = subprocess.run([sys.executable, "-c", _IMPROVE, *given], stdout=subprocess.PIPE, text=True, check=False)
    if ended.returncode:
        raise RoboDialogError(f"{out}: the round of games ended with exit code {ended.returncode}; see above")
    return Path(json.loads(ended.stdout)["bundle"])
