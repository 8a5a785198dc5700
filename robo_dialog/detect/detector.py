"""Success verdicts from a bundle: no network, no torch.

`prepare` (decoding, scaling, tokenising) and `judge` (one run of the graph) are apart, so that a server can prepare
requests in many threads, refuse a bad one by itself, and judge the others together.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robo_dialog.detect.bundle import read_bundle
from robo_dialog.detect.calibration import CALIBRATION, MAX_FRAMES, Calibration, parse_calibration
from robo_dialog.detect.conclude import Prepared, conclude
from robo_dialog.detect.golden import GOLDEN, Golden, parse_golden
from robo_dialog.detect.graph import SCORER
from robo_dialog.detect.image import decode_rgb
from robo_dialog.detect.manifest import Manifest
from robo_dialog.detect.preprocess import PREPROCESS, Preprocessing, check_instruction, check_rgb, parse_preprocessing
from robo_dialog.detect.scorer import TOKENIZER, Scorer
from robo_dialog.detect.session import OnnxSession, OpenSession, available_threads
from robo_dialog.detect.signature import Signer
from robo_dialog.detect.verdict import Frame, Request, Verdict
from robo_dialog.detect.wording import MAX_OTHERS
from robo_dialog.errors import BundleError, ModelError, RequestError
from robo_dialog.vlm.prompts import normalized

GOLDEN_TOLERANCE = 1e-3
"""Largest difference from the golden margins, in logits: far above rounding, far below what moves a verdict."""


class Detector:
    """Gives verdicts; made by `Detector.load`. Its methods may be called from several threads at once."""

    def __init__(
        self, manifest: Manifest, scorer: Scorer, preprocessing: Preprocessing, calibration: Calibration
    ) -> None:
        self.manifest = manifest
        self.calibration = calibration
        self.preprocessing = preprocessing
        self._scorer = scorer

    @classmethod
    def load(
        cls,
        bundle: Path,
        *,
        threads: int | None = None,
        open_session: OpenSession = OnnxSession,
        signer: Signer | None = None,
    ) -> Detector:
        """Verify a bundle, open it, and check that it still gives the margins of the model it was made from.

        Args:
            bundle: the bundle's folder.
            threads: CPU threads for one run of the graph; by default the cores that this process may use.
            open_session: where the graph runs; by default in this process.
            signer: who must have signed the bundle; by default nobody.

        Raises:
            BundleError: the bundle is incomplete, altered, of another version, not signed, or gives other margins.
        """
        content = read_bundle(bundle)
        try:
            if signer is not None:
                signer.require(content)
            preprocessing = parse_preprocessing(content.contents[PREPROCESS])
            calibration = parse_calibration(content.contents[CALIBRATION])
            golden = parse_golden(content.contents[GOLDEN])
            workers = available_threads() if threads is None else threads
            graph, tokenizer = content.contents[SCORER], content.contents[TOKENIZER]
            scorer = Scorer(graph, tokenizer, preprocessing, workers, open_session)
            detector = cls(content.manifest, scorer, preprocessing, calibration)
            detector._require_golden(golden)
        except BundleError as error:
            raise BundleError(f"{bundle}/{error}") from error
        return detector

    @property
    def digest(self) -> str:
        """The model's identity: the digest of the bundle's manifest, 64 hex digits."""
        return self.manifest.digest

    def close(self) -> None:
        """Free the model; nothing is judged any more."""
        self._scorer.close()

    def verdict(self, frames: Sequence[bytes | Frame | NDArray[np.uint8]], instruction: str) -> Verdict:
        """Whether the frames show that the instruction was carried out; see `Request` for their limits.

        Raises:
            RequestError: a frame or the instruction is not acceptable.
            ModelError: the model gave no usable number.
        """
        return self.verdicts([Request(frames, instruction)])[0]

    def verdicts(self, requests: Sequence[Request]) -> list[Verdict]:
        """Verdicts on several requests, judged together.

        Raises:
            RequestError: a request is not acceptable; none is judged.
            ModelError: the model gave no usable number.
        """
        return self.judge([self.prepare(request) for request in requests])

    def margins(self, frames: Sequence[Frame | NDArray[np.uint8]], instructions: Sequence[str]) -> NDArray[np.float64]:
        """What the model itself says, before any calibration: logits (N,) of "yes" minus "no".

        Args:
            frames: N images.
            instructions: N instructions, one for each image.

        Raises:
            RequestError: a frame or an instruction is not acceptable.
            ModelError: the model gave no usable number.
        """
        tokens = [self._scorer.tokens(check_instruction(text)) for text in instructions]
        return self._asked(frames, tokens)

    def answers(self, frames: Sequence[Frame | NDArray[np.uint8]], questions: Sequence[str]) -> NDArray[np.float64]:
        """What the model answers to any yes/no questions: logits (N,) of "yes" minus "no".

        NaN where a question cannot be put: it is too long, or has the model's control tokens.

        Args:
            frames: N images.
            questions: N questions, one for each image.

        Raises:
            RequestError: a frame is not acceptable.
            ModelError: the model gave no usable number, or its prompt takes no other question.
        """
        tokens: dict[int, tuple[int, ...]] = {}
        for place, text in enumerate(questions):
            with contextlib.suppress(RequestError):
                tokens[place] = self._scorer.question_tokens(check_instruction(text, "question"))
        margins = np.full(len(questions), np.nan)
        margins[list(tokens)] = self._asked([frames[place] for place in tokens], list(tokens.values()))
        return margins

    def weigh(self, request: Request) -> int:
        """How much work a request is at most, in questions about one frame, >= 1; looks into nothing."""
        listed = max((len(group) for group in self.calibration.wordings.groups), default=1)
        return max(1, len(request.frames)) * (len(request.paraphrases) + min(listed, 1 + MAX_OTHERS))

    def prepare(self, request: Request) -> Prepared:
        """Check one request and turn it into what the graph is fed.

        Raises:
            RequestError: with the path of the offending field, such as `frames[0].image`, and a fixed text.
        """
        if not 1 <= len(request.frames) <= MAX_FRAMES:
            raise RequestError("frames", f"must be 1 to {MAX_FRAMES}")
        steps = _steps(request.frames)
        wordings = self._wordings(request)
        # one decoded image at a time: sixteen of the largest would need 768 MB
        pixels = (self.preprocessing.pixels(_rgb(one, f"frames[{k}].image")) for k, one in enumerate(request.frames))
        return Prepared(
            pixels=tuple(pixels),
            cameras=tuple(frame.camera if isinstance(frame, Frame) else "" for frame in request.frames),
            steps=steps,
            tokens=tuple(wordings.values()),
            questions=tuple(map(self._scorer.question, wordings)) if request.explain else (),
            instruction=request.instruction,
        )

    def reworded(self, prepared: Prepared, instruction: str) -> Prepared:
        """The same frames under another instruction; `judge` looks at frames that requests share once.

        Raises:
            RequestError: the instruction is not acceptable.
        """
        tokens = tuple(self._wordings(Request((), instruction)).values())
        return replace(prepared, tokens=tokens, questions=(), instruction=instruction)

    def judge(self, prepared: Sequence[Prepared]) -> list[Verdict]:
        """Verdicts on prepared requests, in their order; their frames go through the graph together.

        Raises:
            ModelError: the model gave no usable number.
        """
        places: dict[int, int] = {}
        pixels: list[NDArray[np.float32]] = []
        tokens: list[tuple[int, ...]] = []
        frames: list[int] = []
        for one in prepared:
            for image in one.pixels:
                if places.setdefault(id(image), len(pixels)) == len(pixels):
                    pixels.append(image)
            for wording in one.tokens:
                tokens += [wording] * len(one.pixels)
                frames += [places[id(image)] for image in one.pixels]
        rows = iter(self._scorer.margins(pixels, tokens, frames).tolist())
        verdicts = []
        for one in prepared:
            margins = [[next(rows) for _ in one.pixels] for _ in one.tokens]
            verdicts.append(conclude(self.calibration, one, margins, self.digest))
        return verdicts

    def _asked(
        self, frames: Sequence[Frame | NDArray[np.uint8]], tokens: Sequence[tuple[int, ...]]
    ) -> NDArray[np.float64]:
        """Margins of prompts, each about one frame; what is the same object is looked at once."""
        pixels: list[NDArray[np.float32]] = []
        places: dict[int, int] = {}
        for k, one in enumerate(frames):
            if id(one) not in places:
                places[id(one)] = len(pixels)
                pixels.append(self.preprocessing.pixels(_rgb(one, f"frames[{k}].image")))
        return self._scorer.margins(pixels, tokens, [places[id(one)] for one in frames])

    def _wordings(self, request: Request) -> dict[str, tuple[int, ...]]:
        """Prompts of the instruction, the request's paraphrases and the bundle's, by their words, none twice."""
        tokens = {normalized(request.instruction): self._scorer.tokens(check_instruction(request.instruction))}
        if len(request.paraphrases) > MAX_OTHERS:
            raise RequestError("paraphrases", f"must be at most {MAX_OTHERS}")
        for k, text in enumerate(request.paraphrases):
            field = f"paraphrases[{k}]"
            tokens.setdefault(normalized(text), self._scorer.tokens(check_instruction(text, field), field))
        for text in self.calibration.wordings.others(request.instruction):
            with contextlib.suppress(RequestError):  # only longer than the model takes: the others do
                tokens.setdefault(normalized(text), self._scorer.tokens(text))
        return tokens

    def _require_golden(self, golden: Golden) -> None:
        try:
            self._check_golden(golden)
        except BaseException:
            self.close()
            raise

    def _check_golden(self, golden: Golden) -> None:
        """Compare with the golden margins; also the warm-up, by one image and by all together."""
        try:
            requests = [Request([image], text) for image, text in zip(golden.images, golden.instructions, strict=True)]
            prepared = [self.prepare(request) for request in requests]
            self._scorer.margins(prepared[0].pixels, prepared[0].tokens[:1])
            margins = self._scorer.margins([one.pixels[0] for one in prepared], [one.tokens[0] for one in prepared])
        except (RequestError, ModelError) as error:
            raise BundleError(f"{GOLDEN}: its samples cannot be judged ({error}); export the bundle again") from error
        off = float(np.abs(margins - golden.margins).max())
        if not off <= GOLDEN_TOLERANCE:
            raise BundleError(
                f"{GOLDEN}: the scorer is off by {off:.3g} logits, at most {GOLDEN_TOLERANCE:g} is allowed; "
                f"another OpenCV or ONNX Runtime may be the cause, export the bundle again where it is served"
            )


def _rgb(frame: bytes | Frame | NDArray[np.uint8], field: str) -> NDArray[np.uint8]:
    if isinstance(frame, bytes):
        return decode_rgb(frame, field)
    if isinstance(frame, Frame):
        return decode_rgb(frame.data, field)
    return check_rgb(frame, field)


def _steps(frames: Sequence[bytes | Frame | NDArray[np.uint8]]) -> tuple[int, ...] | None:
    steps = [frame.step if isinstance(frame, Frame) else None for frame in frames]
    given = [step for step in steps if step is not None]
    if not given:
        return None
    if len(given) < len(steps):
        raise RequestError(f"frames[{steps.index(None)}].step", "is missing, and other frames have one")
    for k, step in enumerate(given):
        if step < 0:
            raise RequestError(f"frames[{k}].step", "must not be negative")
    return tuple(given)
