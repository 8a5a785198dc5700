"""Families of vision-language models, each as a tiny random model of its real class with its real processor class.

Tokenizers are trained here, with the control tokens of the family; chat templates are those of the published
checkpoints, without what they do for tools and videos. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from robo_dialog.pretrain.questions import corpus
from robo_dialog.vlm.processors import without_video

WIDTH, LAYERS, HEADS = 32, 2, 2
VISION = {"hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": HEADS}
TEXT = {**VISION, "num_key_value_heads": HEADS, "max_position_embeddings": 4096}
SIGLIP = {**VISION, "model_type": "siglip_vision_model", "image_size": 56, "patch_size": 14, "vision_use_head": False}

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SMOL = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for message in messages %}<start_of_turn>"
    "{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<start_of_image>{% else %}{{ part['text'] | trim }}{% endif %}{% endfor %}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
LLAVA_ONEVISION = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + ' '}}{% for part in message['content'] | "
    "selectattr('type', 'equalto', 'image') %}{{ '<image>' }}{% endfor %}{% for part in message['content'] | "
    "selectattr('type', 'equalto', 'text') %}{{ '\n' + part['text'] }}{% endfor %}{{'<|im_end|>'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

Built = tuple[Any, Any]
"""A model and its processor."""


@lru_cache(maxsize=1)
def _words() -> list[str]:
    return sorted({word for text in corpus() for word in text.lower().split()})


def tokenizer(control: dict[str, str], more: tuple[str, ...] = (), *, adds_bos: bool = False) -> Any:
    """A byte-level tokenizer with the family's control tokens: `control` by their role, `more` without one."""
    names = [*dict.fromkeys([*control.values(), *more])]
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + len(names) + 160,
        special_tokens=names,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    answers = ["yes", " yes", "no", " no", "Is", " Is", " the", "user", "assistant"] * 99
    made.train_from_iterator([*(f" {word}" for word in _words()), *answers], trainer)
    if adds_bos:
        bos = control["bos_token"]
        made.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, made.token_to_id(bos))]
        )
    named = {role: token for role, token in control.items() if role in ("bos_token", "eos_token", "pad_token")}
    extra = {role: token for role, token in control.items() if role not in named}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, **named, extra_special_tokens=extra)


def pil(module: str, kind: str) -> Any:
    """The class of an image processor that needs no torchvision."""
    return getattr(
        import_module(f"transformers.models.{module}.image_processing_pil_{module}"), f"{kind}ImageProcessorPil"
    )


def idefics3(*, smol: bool = False) -> Built:
    words = tokenizer(
        {
            "bos_token": "<|im_start|>",
            "eos_token": "<end_of_utterance>",
            "pad_token": "<pad>",
            "image_token": "<image>",
            "fake_image_token": "<fake_token_around_image>",
            "global_image_token": "<global-img>",
            "end_of_utterance_token": "<end_of_utterance>",
        },
        tuple(f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)),
    )
    edge = {"longest_edge": 56}
    how = {"size": {"longest_edge": 112}, "max_image_size": edge, "do_image_splitting": True}
    name = "SmolVLM" if smol else "Idefics3"
    images = pil(name.lower(), name)(**how)
    kind = without_video(getattr(transformers, f"{name}Processor"))
    parts = (images, words, None) if smol else (images, words)
    config = getattr(transformers, f"{name}Config")(
        image_token_id=words.convert_tokens_to_ids("<image>"),
        pad_token_id=words.pad_token_id,
        scale_factor=2,
        vision_config={**VISION, "image_size": 56, "patch_size": 14},
        text_config={**TEXT, "model_type": "llama", "vocab_size": len(words), "pad_token_id": words.pad_token_id},
    )
    return getattr(transformers, f"{name}ForConditionalGeneration")(config), kind(
        *parts, image_seq_len=4, chat_template=SMOL
    )


def smolvlm() -> Built:
    return idefics3(smol=True)


QWEN = {
    "eos_token": "<|im_end|>",
    "pad_token": "<|endoftext|>",
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
}


def qwen(name: str, vision: dict[str, Any], size: int) -> Built:
    words = tokenizer(QWEN, ("<|im_start|>",))
    images = pil("qwen2_vl", "Qwen2VL")(patch_size=size, size={"shortest_edge": 28 * 28, "longest_edge": 80 * 80})
    kind = without_video(getattr(transformers, f"{name}Processor"))
    template = CHATML.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
    number = words.convert_tokens_to_ids
    config = getattr(transformers, f"{name}Config")(
        image_token_id=number("<|image_pad|>"),
        video_token_id=number("<|video_pad|>"),
        vision_start_token_id=number("<|vision_start|>"),
        vision_end_token_id=number("<|vision_end|>"),
        vision_config={
            "hidden_size": WIDTH,
            "intermediate_size": 48,
            "depth": 2,
            "num_heads": HEADS,
            "out_hidden_size": WIDTH,
            "patch_size": size,
            **vision,
        },
        text_config={
            **TEXT,
            "head_dim": 16,
            "vocab_size": len(words),
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]},
        },
    )
    return getattr(transformers, f"{name}ForConditionalGeneration")(config), kind(
        images, words, None, chat_template=template
    )


def qwen2_5_vl() -> Built:
    return qwen("Qwen2_5_VL", {"window_size": 56, "fullatt_block_indexes": [1]}, 14)


def qwen3_vl() -> Built:
    return qwen("Qwen3VL", {"num_position_embeddings": 64, "deepstack_visual_indexes": [0]}, 16)


def gemma_text(words: Any, kind: str) -> dict[str, Any]:
    return {**TEXT, "model_type": kind, "head_dim": 16, "vocab_size": len(words), "query_pre_attn_scalar": 16}


def paligemma2() -> Built:
    """As published: without a chat template."""
    words = tokenizer({"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "image_token": "<image>"})
    images = pil("siglip", "Siglip")(size={"height": 56, "width": 56})
    images.image_seq_length = 16
    processor = transformers.PaliGemmaProcessor(images, words)
    config = transformers.PaliGemmaConfig(
        image_token_index=words.convert_tokens_to_ids("<image>"),
        projection_dim=WIDTH,
        hidden_size=WIDTH,
        pad_token_id=words.pad_token_id,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        vision_config={**SIGLIP, "projection_dim": WIDTH},
        text_config=gemma_text(words, "gemma2"),
    )
    return transformers.PaliGemmaForConditionalGeneration(config), processor


def gemma3() -> Built:
    words = tokenizer(
        {
            "bos_token": "<bos>",
            "eos_token": "<end_of_turn>",
            "pad_token": "<pad>",
            "image_token": "<image_soft_token>",
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
        },
        ("<start_of_turn>",),
        adds_bos=True,
    )
    images = pil("gemma3", "Gemma3")(size={"height": 56, "width": 56})
    processor = transformers.Gemma3Processor(images, words, chat_template=GEMMA, image_seq_length=4)
    number = words.convert_tokens_to_ids
    config = transformers.Gemma3Config(
        mm_tokens_per_image=4,
        boi_token_index=number("<start_of_image>"),
        eoi_token_index=number("<end_of_image>"),
        image_token_index=number("<image_soft_token>"),
        vision_config=SIGLIP,
        text_config={**gemma_text(words, "gemma3_text"), "sliding_window": 16},
    )
    return transformers.Gemma3ForConditionalGeneration(config), processor


def internvl3() -> Built:
    words = tokenizer(
        {
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
        ("<|im_start|>",),
    )
    images = pil("got_ocr2", "GotOcr2")(
        size={"height": 56, "width": 56}, crop_to_patches=True, min_patches=1, max_patches=2
    )
    processor = without_video(transformers.InternVLProcessor)(
        images, words, None, image_seq_length=4, chat_template=CHATML.replace("IMAGE", "<IMG_CONTEXT>\n")
    )
    config = transformers.InternVLConfig(
        image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        vision_config={**VISION, "image_size": [56, 56], "patch_size": [14, 14]},
        text_config={**TEXT, "model_type": "qwen2", "vocab_size": len(words)},
    )
    return transformers.InternVLForConditionalGeneration(config), processor


def llava_onevision() -> Built:
    words = tokenizer(
        {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "image_token": "<image>", "video_token": "<video>"},
        ("<|im_start|>",),
    )
    grid = [[56, 56], [56, 112], [112, 56]]
    images = pil("llava_onevision", "LlavaOnevision")(size={"height": 56, "width": 56}, image_grid_pinpoints=grid)
    processor = without_video(transformers.LlavaOnevisionProcessor)(
        images,
        words,
        None,
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=LLAVA_ONEVISION,
    )
    config = transformers.LlavaOnevisionConfig(
        image_token_index=words.convert_tokens_to_ids("<image>"),
        video_token_index=words.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=grid,
        vision_config=SIGLIP,
        text_config={**TEXT, "model_type": "qwen2", "vocab_size": len(words)},
    )
    return transformers.LlavaOnevisionForConditionalGeneration(config), processor


FAMILIES: dict[str, Callable[[], Built]] = {
    "SmolVLM, SmolVLM2": smolvlm,
    "Idefics3": idefics3,
    "Qwen2.5-VL": qwen2_5_vl,
    "Qwen3-VL": qwen3_vl,
    "PaliGemma 2": paligemma2,
    "Gemma 3": gemma3,
    "InternVL3": internvl3,
    "LLaVA-OneVision": llava_onevision,
}


def write(family: str, folder: Path) -> Path:
    """Write the checkpoint of a family, as a user has one."""
    torch.manual_seed(0)
    model, processor = FAMILIES[family]()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:  # fresh models are so sure of nothing that no mistake would show
                weight.mul_(6)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
