"""The architecture of `tiny`: SmolVLM of transformers at 3 million parameters, with its own tokenizer and processor.

Its language side is a Llama; a Qwen3 of the same size (grouped attention heads, normalised queries and keys) can take
its place, to see whether what is true of `tiny` is true of another model. Knows no data and no training; `build` gives
random weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from robo_dialog.pretrain.questions import corpus
from robo_dialog.pretrain.recipe import Text

if TYPE_CHECKING:
    from transformers import Idefics3Processor, PreTrainedTokenizerFast, SmolVLMConfig, SmolVLMForConditionalGeneration

IMAGE_SIZE = 96
PATCH = 12
SHUFFLE = 1
"""No patches are merged: the text side finds an object by its name in one patch and reads its place there."""
IMAGE_TOKENS = (IMAGE_SIZE // PATCH // SHUFFLE) ** 2
VISION_WIDTH, VISION_LAYERS = 160, 5
TEXT_WIDTH, TEXT_LAYERS = 160, 4
HEADS = 4
VOCABULARY = 640
MAX_LENGTH = 1024

CHAT_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}:"
    "{% if message['role'] == 'assistant' %}{% generation %}"
    "{% for part in message['content'] %}{{ ' ' + part['text'] }}{% endfor %}<end_of_utterance>\n{% endgeneration %}"
    "{% else %}{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>' }}"
    "{% else %}{{ ' ' + part['text'] }}{% endif %}{% endfor %}<end_of_utterance>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
"""SmolVLM's own template, with a space before every text so that words keep one token wherever they stand, and with the
marks by which trainers (TRL's `assistant_only_loss`) find what the assistant says."""

_HEADS: dict[Text, dict[str, Any]] = {
    "llama": {"num_key_value_heads": HEADS},
    "qwen3": {"num_key_value_heads": HEADS // 2, "head_dim": TEXT_WIDTH // HEADS},
}

SPECIAL_TOKENS = (
    "<pad>",
    "<|im_start|>",
    "<end_of_utterance>",
    "<image>",
    "<fake_token_around_image>",
    "<global-img>",
)


def build(seed: int = 0, text: Text = "llama") -> tuple[SmolVLMForConditionalGeneration, Idefics3Processor]:
    """A randomly initialised model (float32, evaluation mode) and its processor."""
    import torch
    from transformers import SmolVLMForConditionalGeneration

    processor = build_processor()
    torch.manual_seed(seed)
    model = SmolVLMForConditionalGeneration(config(processor.tokenizer, text)).eval()
    return model, processor


def build_processor() -> Idefics3Processor:
    """Processor with a byte-level BPE tokenizer trained on the recipe's own texts; any text can be encoded.

    It is Idefics3's, as in the first SmolVLM checkpoints: SmolVLMProcessor cannot be made without a video processor,
    and that one needs torchvision.
    """
    from transformers import Idefics3Processor
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    images = Idefics3ImageProcessorPil(
        do_image_splitting=False,
        size={"longest_edge": IMAGE_SIZE},
        max_image_size={"longest_edge": IMAGE_SIZE},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )
    return Idefics3Processor(
        image_processor=images,
        tokenizer=build_tokenizer(),
        image_seq_len=IMAGE_TOKENS,
        chat_template=CHAT_TEMPLATE,
    )


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Lower-casing byte-level BPE; deterministic, since the corpus is."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words = sorted({f" {word}" for text in corpus() for word in text.lower().split()})
    turns = ["user:", "assistant: yes", "assistant: no", " 1 2 3 4 5 6 7 8", "image"] * 8
    tokenizer.train_from_iterator([*corpus(), *words * 8, *turns], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",  # noqa: S106
        bos_token="<|im_start|>",  # noqa: S106
        eos_token="<end_of_utterance>",  # noqa: S106
        extra_special_tokens={
            "image_token": "<image>",
            "fake_image_token": "<fake_token_around_image>",
            "global_image_token": "<global-img>",
            "end_of_utterance_token": "<end_of_utterance>",
        },
        model_max_length=MAX_LENGTH,
        padding_side="right",
    )


def config(tokenizer: PreTrainedTokenizerFast, text: Text = "llama") -> SmolVLMConfig:
    """SmolVLM configuration for `tokenizer`, with this kind of model on the language side."""
    from transformers import SmolVLMConfig

    return SmolVLMConfig(
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
        scale_factor=SHUFFLE,
        tie_word_embeddings=True,
        vision_config={
            "hidden_size": VISION_WIDTH,
            "intermediate_size": 4 * VISION_WIDTH,
            "num_hidden_layers": VISION_LAYERS,
            "num_attention_heads": HEADS,
            "image_size": IMAGE_SIZE,
            "patch_size": PATCH,
            "max_image_size": {"longest_edge": IMAGE_SIZE},
        },
        text_config={
            "model_type": text,
            "hidden_size": TEXT_WIDTH,
            "intermediate_size": 3 * TEXT_WIDTH,
            "num_hidden_layers": TEXT_LAYERS,
            "num_attention_heads": HEADS,
            **_HEADS[text],
            "vocab_size": len(tokenizer),
            "max_position_embeddings": MAX_LENGTH,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
    )
