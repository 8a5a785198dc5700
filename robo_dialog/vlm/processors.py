"""Processors of transformers for still images: the same pixels on every machine, and no need of torchvision.

Half of the vision-language processors hold a video processor, which cannot even be made without torchvision. Nothing
here ever shows a model a video, so processors are loaded without that side. What a checkpoint says about videos is kept
and written again when the processor is saved: other programs may want it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import transformers
from transformers import PROCESSOR_MAPPING, AutoConfig, ProcessorMixin
from transformers.utils import VIDEO_PROCESSOR_NAME, cached_file

from robo_dialog.errors import ModelError

_VIDEO = "video_processor"


def load_processor(model: str | Path, *, local_files_only: bool = False) -> Any:  # noqa: ANN401 - of transformers
    """The processor of a checkpoint (folder or hub name), without its video side. No remote code.

    Raises:
        ModelError: there is none for images and text, or it needs a package that is not installed.
    """
    how = {"local_files_only": local_files_only, "trust_remote_code": False}
    try:
        # One backend everywhere: torchvision's pixels differ from PIL's.
        processor = without_video(_processor_class(model, how)).from_pretrained(model, backend="pil", **how)
        if isinstance(processor, _StillImages) and processor.video_settings is None:
            processor.video_settings = _video_file(model, local_files_only)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
        raise ModelError(f"{model}: its processor cannot be loaded: {error}") from error
    return processor


def without_video(kind: type[Any]) -> type[Any]:
    """A processor class that takes None for its video processor; saved, it is the original one."""
    if _VIDEO not in kind.get_attributes():
        return kind
    return type(kind.__name__, (_StillImages, kind), {"__module__": kind.__module__})


class _StillImages(ProcessorMixin):  # type: ignore[misc]  # untyped in transformers
    """Goes before a processor class whose last part is a video processor."""

    video_settings: dict[str, Any] | None = None

    @classmethod
    def get_attributes(cls) -> list[str]:
        """See `ProcessorMixin.get_attributes`."""
        return [name for name in super().get_attributes() if name != _VIDEO]

    @classmethod
    def from_args_and_dict(cls, args: Sequence[Any], processor_dict: dict[str, Any], **kwargs: Any) -> Any:  # noqa: ANN401
        """See `ProcessorMixin.from_args_and_dict`."""
        rest = {name: value for name, value in processor_dict.items() if name != _VIDEO}
        made = super().from_args_and_dict([*args, None], rest, **kwargs)
        made.video_settings = processor_dict.get(_VIDEO)
        return made

    def apply_chat_template(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """See `ProcessorMixin.apply_chat_template`; what classes add to it is for videos."""
        return ProcessorMixin.apply_chat_template(self, *args, **kwargs)

    def to_dict(self) -> dict[str, Any]:
        """See `ProcessorMixin.to_dict`."""
        videos = {} if self.video_settings is None else {_VIDEO: self.video_settings}
        return {**super().to_dict(), **videos}


def _processor_class(model: str | Path, how: dict[str, bool]) -> type[Any]:
    """The class that the checkpoint names, else that of its architecture; only classes of transformers itself."""
    settings, _ = ProcessorMixin.get_processor_dict(model, **how)
    named = getattr(transformers, str(settings.get("processor_class")), None)
    if isinstance(named, type) and issubclass(named, ProcessorMixin):
        return named
    found: type[Any] = PROCESSOR_MAPPING[type(AutoConfig.from_pretrained(model, **how))]
    return found


def _video_file(model: str | Path, local_files_only: bool) -> dict[str, Any] | None:
    path = cached_file(
        str(model),
        VIDEO_PROCESSOR_NAME,
        local_files_only=local_files_only,
        _raise_exceptions_for_missing_entries=False,
    )
    if path is None:
        return None
    settings: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return settings
