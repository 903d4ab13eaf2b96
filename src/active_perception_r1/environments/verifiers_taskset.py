"""The episode as a taskset of verifiers 0.4, with the environment and harness that play it.

verifiers imports a taskset by the name of a top-level package: `active_perception_zoom` is this
module under such a name.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import verifiers.v1 as vf
from openai import AsyncOpenAI
from verifiers.v1.dialects.chat import message_to_wire, parse_message

from active_perception_r1.config import load_config
from active_perception_r1.environments.questions import SEED, Questions
from active_perception_r1.errors import ConfigError
from active_perception_r1.models.backends._openai_wire import content_part
from active_perception_r1.records import ToolStatus
from active_perception_r1.sim.messages import FinishReason, Message, Reply


class ZoomTasksetConfig(vf.TasksetConfig):  # type: ignore[misc]  # verifiers has no types here
    """Which questions are asked, and how; the defaults are those of the demo."""

    config: Path = Path("workflow_config.yaml")
    """The configuration file."""
    study: str = "demo"
    """The study, whose task says what is asked for and what is right."""
    model: str = "tiny-zoom-vlm"
    """The model's entry: call syntax, prompts, budgets and limits. Sampling is verifiers' own."""
    questions: Path = Path("results/demo/slice/test.parquet")
    """A file that `sample-slice` or `grpo-data` wrote."""


class ZoomData(vf.TaskData):  # type: ignore[misc]
    """One question, as traces tell of it; the page stays in the file of questions."""

    question: str
    answers: list[str]


class ZoomTask(vf.Task[ZoomData]):  # type: ignore[misc]
    """One question; its reward is what the environment's episode was paid."""

    @vf.reward  # type: ignore[untyped-decorator]
    async def episode_reward(self, trace: vf.Trace) -> float:
        return float(trace.info["paid"]["reward"])

    @vf.metric  # type: ignore[untyped-decorator]
    async def paid(self, trace: vf.Trace) -> Mapping[str, float]:
        """What the reward is made of, by the names of `Reward`."""
        return {name: float(value) for name, value in trace.info["paid"].items()}


class ZoomTaskset(vf.Taskset[ZoomTask, ZoomTasksetConfig]):  # type: ignore[misc]
    """The questions of a file."""

    @functools.cached_property
    def questions(self) -> Questions:
        config = load_config(self.config.config, study=self.config.study)
        known = [*config.models, *config.training]
        if self.config.model not in known:
            raise ConfigError(f"model: '{self.config.model}' is none of {', '.join(known)}")
        task = config.studies[self.config.study].task
        questions = Questions(self.config.questions, config.model(self.config.model), task)
        if questions.rules.prompts.tools:
            raise ConfigError(
                f"model {self.config.model}: prompts: native declares functions, which an"
                " interaction of verifiers cannot; take prompts: standard"
            )
        return questions

    def load(self) -> Iterator[ZoomTask]:
        for sample in self.questions.without_pages():
            data = ZoomData(id=sample.id, question=sample.question, answers=list(sample.answers))
            yield ZoomTask(data, self.config.task)


class ZoomEnvConfig(vf.EnvConfig):  # type: ignore[misc]
    """One seat; it needs no sandbox, since no program is run."""

    agent: vf.AgentConfig = vf.AgentConfig(runtime=vf.SubprocessConfig())


class ZoomEnv(vf.Env[ZoomEnvConfig]):  # type: ignore[misc]
    """Plays an episode by an interaction: what the episode requests is what the model reads."""

    async def run(self, task: ZoomTask, agents: vf.Agents) -> None:
        questions = self.taskset.questions
        sample = questions[task.data.idx]
        live = questions.start(sample)
        async with agents.agent.interaction(task) as interaction:
            trace = interaction.trace
            while not live.finished:
                segment = await interaction.turn(_messages(live.request))
                if segment.terminated:
                    live.abandon(ToolStatus.BACKEND_ERROR, _why(trace))
                else:
                    live.receive(_reply(segment, trace.calls[-1]))
            trace.info["episode"] = live.record(trace.agent.config.model, "", SEED).to_json()
            trace.info["paid"] = asdict(questions.pay(live, sample))


class ConversationHarness(vf.Harness[vf.HarnessConfig]):  # type: ignore[misc]
    """Has the model continue the conversation that it is given whole; runs no program."""

    APPENDS_SYSTEM_PROMPT = True
    SUPPORTS_RESUME = True
    EXECUTES_CODE = False
    NEEDS_CONTAINER = False

    async def launch(
        self,
        ctx: vf.ModelContext,
        trace: vf.Trace,
        runtime: vf.Runtime,
        endpoint: str,
        secret: str,
        mcp_urls: dict[str, str],
        data: vf.TaskData,
    ) -> vf.ProgramResult:
        messages = [message_to_wire(message) for message in data.prompt]
        async with AsyncOpenAI(base_url=endpoint, api_key=secret, max_retries=0) as client:
            await client.chat.completions.create(model=ctx.model, messages=messages)
        return vf.ProgramResult(exit_code=0, stdout="", stderr="")

    async def resume(
        self,
        ctx: vf.ModelContext,
        trace: vf.Trace,
        runtime: vf.Runtime,
        endpoint: str,
        secret: str,
        mcp_urls: dict[str, str],
        data: vf.TaskData,
        messages: vf.Messages,
        tool_interception_url: str | None = None,
    ) -> vf.ProgramResult:
        asked = data.model_copy(update={"prompt": messages})
        return await self.launch(ctx, trace, runtime, endpoint, secret, mcp_urls, asked)


def _messages(request: Sequence[Message]) -> vf.Messages:
    said = [message for message in request if message.parts]
    return [
        parse_message({"role": message.role, "content": [content_part(p) for p in message.parts]})
        for message in said
    ]


def _reply(segment: vf.Segment, call: vf.ModelCall) -> Reply:
    """What the model wrote, to the letter, which `Segment.last_reply` is not."""
    cut_off = call.finish_reason == "length"
    return Reply(
        text=segment.messages[-1].content or "",
        finish_reason=FinishReason.LENGTH if cut_off else FinishReason.STOP,
        prompt_tokens=call.usage.input_tokens if call.usage else 0,
        completion_tokens=call.usage.completion_tokens if call.usage else 0,
        seconds=call.time.duration,
    )


def _why(trace: vf.Trace) -> str:
    if trace.errors:
        return f"{trace.errors[-1].type}: {trace.errors[-1].message}"
    return f"verifiers ended the exchange: {trace.stop_condition}"


__all__: list[str] = ["ConversationHarness", "ZoomEnv", "ZoomTaskset"]
