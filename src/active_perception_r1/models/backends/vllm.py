"""Models run by vLLM inside this process: all live episodes of a batch share one engine."""

from __future__ import annotations

import atexit
import time
from collections.abc import Sequence
from typing import Any

from transformers import AutoConfig, AutoProcessor
from vllm import LLM, SamplingParams

from active_perception_r1.config import ModelConfig
from active_perception_r1.errors import BackendError
from active_perception_r1.families import FAMILIES
from active_perception_r1.models.chat import prompt_text, reply_text, request_seed
from active_perception_r1.models.decoding import own_decoding, set_aside
from active_perception_r1.models.weights import find_weights, image_options, require_family
from active_perception_r1.sim.messages import FinishReason, Reply, Request

_NEVER = -100.0  # The lowest bias that vLLM takes.


class VllmBackend:
    """A model that vLLM supports, with prefix caching: a later turn computes only what is new.

    Raises:
        BackendError: the model cannot be loaded, or does not fit.
    """

    def __init__(self, settings: ModelConfig) -> None:
        self.settings = settings
        weights = find_weights(settings)
        self.revision = weights.revision
        self._marks = FAMILIES[settings.family].marks if settings.family else ()
        try:
            source: dict[str, Any] = {"revision": weights.commit}
            require_family(settings, AutoConfig.from_pretrained(settings.id, **source).model_type)
            self.set_aside = set_aside(settings.decoding, own_decoding(weights))
            self.processor: Any = AutoProcessor.from_pretrained(settings.id, **source)  # type: ignore[no-untyped-call]
            self.engine = LLM(
                settings.id,
                **source,
                dtype=settings.dtype,
                seed=settings.seed,
                tensor_parallel_size=settings.tensor_parallel or max(settings.gpus, 1),
                max_num_seqs=settings.max_concurrent_episodes,
                generation_config="vllm",  # nothing of the checkpoint's but its end tokens
                enable_prefix_caching=True,
                limit_mm_per_prompt={"image": settings.most_images, "video": 0},
                mm_processor_kwargs=image_options(settings, self.processor.image_processor),
                **settings.vllm.model_dump(),
            )
        # Its engine process passes on whatever went wrong there as errors of any kind.
        except (OSError, ValueError, RuntimeError, ImportError) as error:
            detail = " ".join(str(error).split())
            raise BackendError(f"model '{settings.id}' cannot be run by vllm: {detail}") from error
        # Or Python, if this is still in use at its end, waits for a process that waits for it.
        atexit.register(self.engine.llm_engine.engine_core.shutdown)

    def generate(self, requests: Sequence[Request]) -> list[Reply]:
        """Replies in order; the engine itself makes batches of the requests."""
        if not requests:
            return []
        start = time.perf_counter()
        try:
            outputs = self.engine.generate(
                [self._prompt(request) for request in requests],
                [self._sampling(request) for request in requests],
                use_tqdm=False,
            )
        except Exception as error:  # One request must not take the others with it.
            if len(requests) == 1:
                return [Reply("", FinishReason.ERROR, error=f"{type(error).__name__}: {error}")]
            half = len(requests) // 2
            return self.generate(requests[:half]) + self.generate(requests[half:])
        seconds = (time.perf_counter() - start) / len(requests)
        return [self._reply(output, seconds) for output in outputs]

    def _prompt(self, request: Request) -> dict[str, Any]:
        """The chat template's text, so that prompts are those of the transformers backend."""
        text = prompt_text(
            self.processor.apply_chat_template,
            request,
            self.processor.image_token,
            self.settings.chat_template_kwargs,
        )
        images = [image for message in request for image in message.images]
        return {"prompt": text, "multi_modal_data": {"image": images}}

    def _sampling(self, request: Request) -> SamplingParams:
        return SamplingParams(
            **self.settings.decoding.model_dump(),
            max_tokens=self.settings.max_new_tokens,
            seed=request_seed(request, self.settings.seed),
            logit_bias={self.processor.image_token_id: _NEVER},  # a model cannot write an image
        )

    def _reply(self, output: Any, seconds: float) -> Reply:
        completion = output.outputs[0]
        reasons = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}
        prompt, written = len(output.prompt_token_ids), len(completion.token_ids)
        if completion.finish_reason not in reasons:
            error = f"vllm ended the request: {completion.finish_reason}"
            return Reply("", FinishReason.ERROR, prompt, written, seconds, error)
        text = reply_text(self.processor.tokenizer, completion.token_ids, self._marks)
        return Reply(text, reasons[completion.finish_reason], prompt, written, seconds)


BACKEND = VllmBackend
