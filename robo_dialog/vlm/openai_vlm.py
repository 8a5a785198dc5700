"""Any OpenAI-compatible endpoint that takes images and returns log-probabilities (vLLM, SGLang) as a `VLM`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt

from robo_dialog.errors import ConfigError
from robo_dialog.vlm.completions import first_words, read_scores, read_text, request_body
from robo_dialog.vlm.endpoint import RETRIES, Endpoint, NoAnswerError, Retries
from robo_dialog.vlm.protocol import Prompt, PromptsFailed

T = TypeVar("T")


class OpenAIVLM:
    """One model of one endpoint, asked with one request a prompt and several requests at a time.

    Args:
        model: the endpoint's name for it.
        url: base URL as other clients take it, for example http://localhost:8000/v1.
        api_key: the environment variable OPENAI_API_KEY if left out; endpoints without keys need neither.
        concurrency: requests at a time.
        timeout_s: seconds for one attempt.
        top_logprobs: tokens that the endpoint lists to score options; 20 is the most that servers allow unless told.
        retries: how often a request that failed is sent again.
        sleep: what waits between attempts.

    Raises:
        ConfigError: the URL, the key or a number cannot be used.
    """

    def __init__(
        self,
        model: str,
        url: str,
        *,
        api_key: str | None = None,
        concurrency: int = 16,
        timeout_s: float = 120.0,
        top_logprobs: int = 20,
        retries: Retries = RETRIES,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        if top_logprobs < 2:
            raise ConfigError(f"top_logprobs is {top_logprobs}; two options need at least 2, and 20 is usual")
        self._model = model
        self._concurrency = concurrency
        self._top_logprobs = top_logprobs
        self._endpoint = Endpoint(
            f"{url.rstrip('/')}/chat/completions",
            api_key=api_key,
            connections=concurrency,
            timeout_s=timeout_s,
            retries=retries,
            sleep=sleep,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._endpoint.close()

    @property
    def identity(self) -> str:
        """Name of the model and of the host that serves it."""
        return f"{self._model}@{self._endpoint.host}"

    def score(self, prompts: Sequence[Prompt], options: Sequence[str]) -> npt.NDArray[np.float64]:
        """See `VLM.score`; `read_scores` says how listed tokens become scores of options.

        Raises:
            PromptsFailed: some prompts got no answer after all attempts, or one that lists no option.
            ModelError: the endpoint refuses key, URL or model, or two options begin alike.
        """
        words = first_words(options)
        settings = {"max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": self._top_logprobs}
        answers = self._ask_each(prompts, lambda _: settings, lambda answer: read_scores(answer, words))
        unknown = np.full(len(options), np.nan)
        rows = [unknown if isinstance(answer, NoAnswerError) else answer for answer in answers]
        scores = np.array(rows).reshape(len(prompts), len(options))
        if failures := _failures(answers):
            raise PromptsFailed(failures, scores)
        return scores

    def generate(self, prompts: Sequence[Prompt], *, seed: int, temperature: float, max_tokens: int) -> list[str]:
        """See `VLM.generate`. That the same seed gives the same texts is up to the endpoint.

        Raises:
            PromptsFailed: some prompts got no answer after all attempts.
            ModelError: the endpoint refuses key, URL or model.
        """

        def settings(index: int) -> dict[str, object]:
            return {"max_tokens": max_tokens, "temperature": temperature, "seed": _prompt_seed(seed, index)}

        answers = self._ask_each(prompts, settings, read_text)
        texts = ["" if isinstance(answer, NoAnswerError) else answer for answer in answers]
        if failures := _failures(answers):
            raise PromptsFailed(failures, texts)
        return texts

    def _ask_each(
        self, prompts: Sequence[Prompt], settings: Callable[[int], Mapping[str, object]], read: Callable[[object], T]
    ) -> list[T | NoAnswerError]:
        """The answers in the order of the prompts. What is fatal is raised at once; requests under way are left."""
        stop = threading.Event()

        def ask(index: int) -> T | NoAnswerError:
            body = request_body(self._model, prompts[index], settings(index))
            try:
                return self._endpoint.ask(body, read, number=index, stop=stop)
            except NoAnswerError as failure:
                return failure

        pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="openai-vlm")
        try:
            futures = [pool.submit(ask, index) for index in range(len(prompts))]
            for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                future.result()
            return [future.result() for future in futures]
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


def _failures(answers: Sequence[object]) -> dict[int, str]:
    return {index: str(answer) for index, answer in enumerate(answers) if isinstance(answer, NoAnswerError)}


def _prompt_seed(seed: int, index: int) -> int:
    """Another seed for each prompt, within the 31 bits that every server takes."""
    return int(np.random.SeedSequence((seed, index)).generate_state(1)[0]) >> 1
