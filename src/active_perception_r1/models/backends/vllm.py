"""Models run by vLLM inside this process: a request joins those under way when it comes."""

from __future__ import annotations

import atexit
import time
from itertools import count
from typing import Any

from transformers import AutoConfig, AutoProcessor
from vllm import LLM, SamplingParams
from vllm.sampling_params import RequestOutputKind

from active_perception_r1.config import ModelConfig
from active_perception_r1.errors import BackendError
from active_perception_r1.families import family_of
from active_perception_r1.models.backends import Answered, Backend
from active_perception_r1.models.chat import prompt_text, reply_text, request_seed
from active_perception_r1.models.decoding import own_decoding, set_aside
from active_perception_r1.models.weights import find_weights, image_options, require_family
from active_perception_r1.sim.messages import FinishReason, Reply, Request

_NEVER = -100.0  # The lowest bias that vLLM takes.


class VllmBackend(Backend):
    """A model that vLLM supports, with prefix caching: a later turn computes only what is new.

    Raises:
        BackendError: the model cannot be loaded, or does not fit.
    """

    def __init__(self, settings: ModelConfig) -> None:
        self.settings = settings
        self.live = settings.max_concurrent_episodes
        weights = find_weights(settings)
        self.revision = weights.revision
        self._marks = family_of(settings.family).marks
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
        self._numbers = count()
        self._asked: dict[str, int] = {}
        self._refused: list[tuple[int, Reply]] = []
        self._since = 0.0
        # Or Python, if this is still in use at its end, waits for a process that waits for it.
        atexit.register(self.close)

    def submit(self, request: Request) -> int:
        number = next(self._numbers)
        if not self._asked:
            self._since = time.perf_counter()
        try:
            (known,) = self.engine.enqueue(
                self._prompt(request), self._sampling(request), use_tqdm=False
            )
        except Exception as error:  # One request must not take the others with it.
            self._refused.append((number, _failed(error)))
        else:
            self._asked[known.partition("-")[0]] = number  # vLLM adds letters of its own
        return number

    def collect(self) -> Answered:
        if self._refused:
            refused, self._refused = self._refused, []
            return refused
        try:
            outputs = self._finished()
        except Exception as error:  # The engine is gone.
            asked, self._asked = self._asked, {}
            return [(number, _failed(error)) for number in asked.values()]
        now = time.perf_counter()
        seconds, self._since = (now - self._since) / len(outputs), now
        return [(self._asked.pop(out.request_id), self._reply(out, seconds)) for out in outputs]

    def close(self) -> None:
        self.engine.llm_engine.engine_core.shutdown()

    def _finished(self) -> list[Any]:
        """Outputs of the first step that ends a request."""
        while True:
            outputs = self.engine.llm_engine.step()
            if finished := [output for output in outputs if output.finished]:
                return finished

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
            output_kind=RequestOutputKind.FINAL_ONLY,
            logit_bias={self.processor.image_token_id: _NEVER},  # a model cannot write an image
        )

    def _reply(self, output: Any, seconds: float) -> Reply:
        completion = output.outputs[0]
        reasons = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}
        prompt, written = len(output.prompt_token_ids), len(completion.token_ids)
        seen = list(output.prompt_token_ids).count(self.processor.image_token_id)
        if completion.finish_reason not in reasons:
            error = f"vllm ended the request: {completion.finish_reason}"
            return Reply("", FinishReason.ERROR, prompt, written, seconds, error)
        text = reply_text(self.processor.tokenizer, completion.token_ids, self._marks)
        reason = reasons[completion.finish_reason]
        return Reply(text, reason, prompt, written, seconds, visual_tokens=seen)


def _failed(error: Exception) -> Reply:
    return Reply("", FinishReason.ERROR, error=f"{type(error).__name__}: {error}")


BACKEND = VllmBackend
