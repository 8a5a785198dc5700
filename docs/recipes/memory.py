"""How much GPU memory the recipes beside this file take: `python docs/recipes/memory.py`.

Nothing is downloaded: the models are built without storage from the figures of their published configurations, and
counted. What tuning holds at its peak is

    weights      2 bytes each (bfloat16), frozen
    LoRA         16 bytes each: the weight, its gradient and Adam's two moments in float32
    activations  for every token and linear layer, what its gradient needs: its input in float32 (LoRA computes in
                 float32), the `rank` numbers between A and B in float32, its output in bfloat16; and for every norm the
                 input in float32. Tokens of the vision tower are patches.
    logits       the vocabulary in float32, three times, for every learned token

and a tenth more for what the allocator wastes, and 1 GiB for CUDA. A test compares the activations with what autograd
in fact keeps.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText

GIB = 1 << 30
QUESTION = 40
"""Tokens of a question, its answer and the marks around them."""
CANDIDATES = 4
"""Images of the Guesser's rows."""
LEARNED = 12
"""Learned tokens of a row."""

SIGLIP = {"model_type": "siglip_vision_model", "vision_use_head": False, "num_attention_heads": 16}
QWEN3 = {"model_type": "qwen3_vl", "image_token_id": 151655, "video_token_id": 151656}


@dataclass(frozen=True)
class Published:
    """Facts of a published checkpoint: its configuration, and what it makes of an image of 640 x 480 pixels.

    patches: that the vision tower sees. tokens: that the text model sees. packed: whether questions about an image
    share a row (`robo-dialog models check` tells).
    """

    config: dict[str, Any]
    patches: int
    tokens: int
    packed: bool


def _qwen3(width: int, layers: int, inner: int, heads: int, vision: tuple[int, int, int], tie: bool) -> dict[str, Any]:
    wide, deep, between = vision
    return {
        **QWEN3,
        "tie_word_embeddings": tie,
        "vision_config": {
            "hidden_size": wide,
            "depth": deep,
            "intermediate_size": between,
            "num_heads": 16,
            "out_hidden_size": width,
            "deepstack_visual_indexes": [5, 11, 17] if deep == 24 else [8, 16, 24],
        },
        "text_config": {
            "hidden_size": width,
            "num_hidden_layers": layers,
            "intermediate_size": inner,
            "num_attention_heads": heads,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 151936,
            "tie_word_embeddings": tie,
        },
    }


MODELS = {
    "smolvlm2-500m": Published(
        {
            "model_type": "smolvlm",
            "scale_factor": 4,
            "vision_config": {
                "hidden_size": 768,
                "intermediate_size": 3072,
                "num_hidden_layers": 12,
                "num_attention_heads": 12,
                "image_size": 512,
                "patch_size": 16,
            },
            "text_config": {
                "model_type": "llama",
                "hidden_size": 960,
                "intermediate_size": 2560,
                "num_hidden_layers": 32,
                "num_attention_heads": 15,
                "num_key_value_heads": 5,
                "head_dim": 64,
                "vocab_size": 49280,
            },
        },
        patches=32 * 32,
        tokens=64,
        packed=True,
    ),
    "qwen3-vl-2b": Published(_qwen3(2048, 28, 6144, 16, (1024, 24, 4096), True), 40 * 30, 300, packed=False),
    "qwen3-vl-8b": Published(_qwen3(4096, 36, 12288, 32, (1152, 27, 4304), False), 40 * 30, 300, packed=False),
    "paligemma2-3b": Published(
        {
            "model_type": "paligemma",
            "projection_dim": 2304,
            "vision_config": {
                **SIGLIP,
                "hidden_size": 1152,
                "intermediate_size": 4304,
                "num_hidden_layers": 27,
                "image_size": 224,
                "patch_size": 14,
                "projection_dim": 2304,
            },
            "text_config": {
                "model_type": "gemma2",
                "hidden_size": 2304,
                "intermediate_size": 9216,
                "num_hidden_layers": 26,
                "num_attention_heads": 8,
                "num_key_value_heads": 4,
                "head_dim": 256,
                "vocab_size": 257216,
            },
        },
        patches=16 * 16,
        tokens=256,
        packed=False,
    ),
}


@dataclass(frozen=True)
class Memory:
    """Bytes at the peak of tuning."""

    weights: int
    lora: int
    activations: int
    logits: int

    @property
    def gib(self) -> float:
        """All of it, in GiB."""
        return (1.1 * (self.weights + self.lora + self.activations + self.logits) + GIB) / GIB


def built(config: dict[str, Any]) -> nn.Module:
    """The model without storage."""
    with torch.device("meta"):
        made: nn.Module = AutoModelForImageTextToText.from_config(AutoConfig.for_model(**config))
    return made


def activations(model: nn.Module, rank: int, text: int, patches: int) -> int:
    """Bytes that autograd keeps for `text` tokens and `patches` patches."""
    total = 0
    for name, module in model.named_modules():
        seen = patches if any(part in name for part in ("vision", "visual")) else text
        if isinstance(module, nn.Linear) and "lm_head" not in name:
            total += seen * (4 * module.in_features + 4 * rank + 2 * module.out_features)
        elif "Norm" in type(module).__name__:
            total += seen * 4 * sum(weight.numel() for weight in module.parameters())
    return total


def memory(model: nn.Module, published: Published, settings: dict[str, Any]) -> Memory:
    """Peak of one optimiser step: the larger of the Describer's rows and of the Guesser's with their several images."""
    rank, examples = settings["rank"], settings["batch"] // settings["accumulate"]
    questions = settings["questions"]
    rows, talks = (1, questions) if published.packed else (questions, 1)
    describer = examples * rows * (published.tokens + talks * QUESTION), examples * rows * published.patches
    guesser = examples * (CANDIDATES * published.tokens + 4 * QUESTION), examples * CANDIDATES * published.patches
    linears = [m for n, m in model.named_modules() if isinstance(m, nn.Linear) and "lm_head" not in n]
    vocabulary = model.get_output_embeddings().weight.shape[0]
    return Memory(
        weights=2 * sum(weight.numel() for weight in model.parameters()),
        lora=16 * rank * sum(linear.in_features + linear.out_features for linear in linears),
        activations=max(activations(model, rank, *one) for one in (describer, guesser)),
        logits=12 * examples * questions * LEARNED * vocabulary,
    )


def main() -> None:
    """Print a line a recipe."""
    for path in sorted(Path(__file__).parent.glob("*.yaml")):
        found = memory(built(MODELS[path.stem].config), MODELS[path.stem], yaml.safe_load(path.read_text())["settings"])
        print(f"{path.stem}: {found.gib:.1f} GiB")


if __name__ == "__main__":
    main()
