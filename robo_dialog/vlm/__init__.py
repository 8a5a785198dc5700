"""Vision-language models behind one protocol: what they are asked (prompts) and how they answer (score, generate)."""

from robo_dialog.vlm.protocol import VLM, Image, Message, Prompt

__all__ = ["VLM", "Image", "Message", "Prompt"]
