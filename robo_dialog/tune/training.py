"""LoRA tuning of any `AutoModelForImageTextToText` on training rows, by the Trainer of transformers and peft."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from peft import LoraConfig, get_peft_model
from transformers import EarlyStoppingCallback, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from robo_dialog.errors import ConfigError
from robo_dialog.tune.collate import Collator, Item
from robo_dialog.tune.examples import Example, split
from robo_dialog.tune.mixture import Kind, Mixture, item
from robo_dialog.tune.role_loss import RoleTrainer, can_pack
from robo_dialog.tune.settings import TuneSettings
from robo_dialog.vlm.chat import Chat
from robo_dialog.vlm.networks import load_network
from robo_dialog.vlm.processors import load_processor

CHECKS = 10
"""Looks at what is held out, in one run."""
TRIED = 64
"""Examples among which one with several conversations is looked for."""
_CHECKPOINT = f"{PREFIX_CHECKPOINT_DIR}-"
HELD_EXAMPLES = 128
"""Most examples that one look takes."""


@dataclass(frozen=True)
class Tuned:
    """What came of it."""

    steps: int
    """Optimiser steps until it stopped."""
    best_step: int | None
    """The step whose weights were kept; None where nothing was held out."""
    held_out_loss: float | None
    loss: float
    packed: bool
    trainable: int
    """Weights that LoRA adds."""
    examples: int
    talks: int


def processes() -> PartialState:
    """The processes that tune together: one, unless `accelerate launch`, `torchrun` or Ray Train has started more."""
    return PartialState(cpu=not torch.cuda.is_available())


def tune(
    model: str | Path,
    rows: Sequence[Example],
    anchors: Sequence[Example],
    settings: TuneSettings,
    *,
    work: Path,
    out: Path,
    report_to: str = "none",
) -> Tuned:
    """Tune a checkpoint and write the merged one; goes on where an interrupted run left `work`.

    Of several processes that a launcher has started, each computes its part of every step, and the first one writes.

    Args:
        model: directory written by `save_pretrained`, or a hub name.
        rows: examples of both roles from kept dialogs.
        anchors: examples of what the model can do already and shall not forget.
        settings: the recipe.
        work: folder of checkpoints.
        out: folder of the merged checkpoint.
        report_to: where the Trainer reports to, as transformers names it: none, tensorboard, wandb, mlflow.

    Raises:
        ConfigError: there is nothing to learn, or a step cannot be shared among the processes.
        ModelError: the model cannot be loaded, or tuned this way.
    """
    learned, held = split(rows, settings.held_out)
    if not any(example.role == "describer" for example in learned):
        raise ConfigError("no kept dialog gives the Describer anything to learn; play more games, or filter less")
    processor, network, dtype = _loaded(model, settings)
    collator = Collator(Chat(processor), packed=False)
    packed = can_pack(network, collator, _items(learned[:TRIED], settings))
    adapted = get_peft_model(
        network, LoraConfig(r=settings.rank, lora_alpha=settings.alpha, target_modules="all-linear")
    )
    trainer = _trainer(adapted, collator.with_packing(packed), (learned, held, anchors), settings, work, report_to)
    with redirect_stdout(sys.stderr):  # where its figures belong
        trainer.train(resume_from_checkpoint=_last_checkpoint(work))
    state, trainable = trainer.state, sum(p.numel() for name, p in adapted.named_parameters() if "lora_" in name)
    if processes().is_main_process:
        adapted.merge_and_unload().to(dtype).save_pretrained(out)
        processor.save_pretrained(out)
    losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
    return Tuned(
        steps=state.global_step,
        best_step=state.best_global_step,
        held_out_loss=state.best_metric,
        loss=losses[-1] if losses else float("nan"),
        packed=packed,
        trainable=trainable,
        examples=len(learned),
        talks=sum(len(example.talks) for example in learned),
    )


def _loaded(model: str | Path, settings: TuneSettings) -> tuple[Any, Any, torch.dtype]:
    """Processor, network in the precision of tuning, and the precision of the checkpoint."""
    processor = load_processor(model)
    network = load_network(model)
    stored = network.dtype
    fast = stored == torch.bfloat16 and torch.cuda.is_available()
    wanted = settings.precision if settings.precision != "auto" else "bfloat16" if fast else "float32"
    return processor, network.to(getattr(torch, wanted)).to(processes().device), stored


def _trainer(
    model: Any,  # noqa: ANN401
    collator: Collator,
    examples: tuple[Sequence[Example], Sequence[Example], Sequence[Example]],
    settings: TuneSettings,
    work: Path,
    report_to: str,
) -> RoleTrainer:
    learned, held, anchors = examples
    every = max(1, settings.steps // CHECKS)
    checks, count = bool(held), processes().num_processes
    part, left = divmod(settings.batch, settings.accumulate * count)
    if left or not part:
        raise ConfigError(
            f"batch {settings.batch} cannot be cut into {settings.accumulate * count} equal parts for {count} "
            f"processes and accumulate {settings.accumulate}; change one"
        )
    arguments = TrainingArguments(
        output_dir=str(work),
        max_steps=settings.steps,
        per_device_train_batch_size=part,
        per_device_eval_batch_size=part,
        gradient_accumulation_steps=settings.accumulate,
        learning_rate=settings.rate,
        lr_scheduler_type="cosine",
        warmup_steps=max(1, settings.steps // 20),
        weight_decay=0.0,
        max_grad_norm=1.0,
        logging_steps=every,
        save_steps=every,
        save_total_limit=2,
        eval_strategy="steps" if checks else "no",
        eval_steps=every,
        load_best_model_at_end=checks,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        prediction_loss_only=True,
        remove_unused_columns=False,
        report_to=report_to,
        seed=settings.seed,
        use_cpu=not torch.cuda.is_available(),
    )
    return RoleTrainer(
        model=model,
        args=arguments,
        data_collator=collator,
        train_dataset=_mixture(learned, anchors, settings),
        eval_dataset=_items(held[:HELD_EXAMPLES], settings) if checks else None,
        callbacks=[EarlyStoppingCallback(settings.patience)] if checks else [],
    )


def _mixture(learned: Sequence[Example], anchors: Sequence[Example], settings: TuneSettings) -> Mixture:
    describer = [example for example in learned if example.role == "describer"]
    guesser = [example for example in learned if example.role == "guesser"]
    guessed, anchored = (
        max(1, round(settings.batch * share)) if some and share else 0
        for some, share in ((guesser, settings.guesser_share), (anchors, settings.anchor_share))
    )
    if guessed + anchored >= settings.batch:
        raise ConfigError(
            f"batch {settings.batch} has no place for the Describer beside {guessed} examples of the Guesser and "
            f"{anchored} anchors; raise batch, or set guesser_share or anchor_share to 0"
        )
    kinds = (
        Kind(describer, settings.batch - anchored - guessed),
        Kind(guesser, guessed),
        Kind(anchors, anchored),
    )
    return Mixture(
        kinds, steps=settings.steps, questions=settings.questions, augmented=settings.augmented, seed=settings.seed
    )


def _items(examples: Sequence[Example], settings: TuneSettings) -> list[Item]:
    """Examples as they are held out: without augmentation, always the same questions."""
    rng = np.random.default_rng(settings.seed)
    return [item(example, settings.questions, rng, augmented=False) for example in examples]


def _last_checkpoint(work: Path) -> str | None:
    """The last one that was written to its end: the Trainer writes its own state last."""
    steps = [int(path.name.removeprefix(_CHECKPOINT)) for path in work.glob(f"{_CHECKPOINT}[0-9]*") if _is_whole(path)]
    return str(work / f"{_CHECKPOINT}{max(steps)}") if steps else None


def _is_whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True
