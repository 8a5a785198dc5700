"""Where an interrupted pretraining goes on: master weights and optimiser state in one safetensors file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from robo_dialog.pretrain.optimiser import Optimiser


@dataclass(frozen=True)
class Checkpoint:
    """State after `step` steps of stage number `stage`; tensors are named `<kind>.<index of the weight>`."""

    stage: int
    step: int
    tensors: dict[str, torch.Tensor]

    def restore(self, optimiser: Optimiser) -> None:
        """Put weights and optimiser state back in place."""
        with torch.no_grad():
            for index, weight in enumerate(optimiser.weights):
                kinds = [name.rsplit(".", 1)[0] for name in self.tensors if name.endswith(f".{index}")]
                weight.copy_(self.tensors[f"weight.{index}"])
                state = {kind: self.tensors[f"{kind}.{index}"].to(weight.device) for kind in kinds if kind != "weight"}
                optimiser.remember(index, state)


def write_checkpoint(path: Path, stage: int, step: int, optimiser: Optimiser) -> None:
    """Replace the file at `path` in one go."""
    tensors = {f"weight.{index}": weight.detach() for index, weight in enumerate(optimiser.weights)}
    for index in range(len(optimiser.weights)):
        tensors |= {f"{kind}.{index}": value for kind, value in optimiser.state(index).items()}
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata={"stage": str(stage), "step": str(step)})
    part.replace(path)


def read_checkpoint(path: Path) -> Checkpoint | None:
    """The checkpoint at `path`, or None if there is none yet."""
    if not path.exists():
        return None
    with safe_open(path, "pt") as file:
        meta = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    return Checkpoint(int(meta["stage"]), int(meta["step"]), tensors)
