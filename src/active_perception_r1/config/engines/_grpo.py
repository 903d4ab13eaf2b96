"""What every GRPO run says, whichever engine runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from active_perception_r1.config.decisive import Decisive
from active_perception_r1.config.model import ModelConfig
from active_perception_r1.config.section import Name, Section
from active_perception_r1.modes import ACTIVE, MODES
from active_perception_r1.rewards.active_vision_reward import RewardConfig


class GrpoConfig(Section, ABC):
    """One GRPO run. It is also a model: the trained checkpoint, run as its `base` is.

    Attributes:
        environment: which file of `envs/` has the packages of the engine.
        packages: those that it cannot do without.
    """

    environment: ClassVar[str]
    packages: ClassVar[tuple[str, ...]] = ()
    decisive = Decisive(
        keys=(
            "engine",
            "seed",
            "steps",
            "prompts_per_step",
            "samples_per_prompt",
            "updates_per_step",
            "learning_rate",
            "warmup_steps",
            "max_grad_norm",
            "clip_low",
            "clip_high",
            "kl",
            "temperature",
            "reward",
        ),
        # Names, whose meaning is given in full elsewhere; what the data come from; how often to
        # save; how the memory is made to do.
        mechanism=(
            "base",
            "study",
            "split",
            "samples",
            "save_every",
            "gradient_checkpointing",
            "tensorboard",
        ),
        added={
            "modes": [ACTIVE],
            "refill": False,
            "validate_every": 0,
            "validation_samples": 64,
        },
    )

    engine: str
    base: Name = Field(description="the model that is trained, an entry of `models`")
    study: Name = Field(description="the study whose dataset is trained on, its slice left out")
    split: Name = Field(default="train", description="split that the questions are drawn from")
    samples: int = Field(default=2000, gt=0, description="how many questions are drawn")
    modes: tuple[str, ...] = Field(
        default=(ACTIVE,),
        min_length=1,
        description="modes that the questions are asked in, by turns: `active`, and `strict_zoom`"
        " where its request is not to be unlearned; one that is named twice has twice the turns",
    )
    seed: int = Field(default=0, description="of the draw and of the training")
    steps: int = Field(default=40, gt=0, description="updates of the weights")
    prompts_per_step: int = Field(default=16, gt=0, description="questions in each step")
    samples_per_prompt: int = Field(
        default=8, gt=1, description="episodes for each question, whose rewards are compared"
    )
    updates_per_step: int = Field(
        default=1, gt=0, description="times that the episodes of a step are learned from"
    )
    learning_rate: float = Field(
        default=1e-4, gt=0, description="of AdamW, after the warm-up; it falls linearly"
    )
    warmup_steps: int = Field(default=3, ge=0, description="steps in which the rate rises")
    max_grad_norm: float = Field(
        default=1.0, gt=0, description="a gradient whose norm is greater is scaled down to it"
    )
    clip_low: float = Field(
        default=0.2, gt=0, lt=1, description="how far below 1 a ratio of probabilities counts"
    )
    clip_high: float = Field(
        default=0.28, gt=0, description="how far above 1 a ratio of probabilities counts"
    )
    kl: float = Field(
        default=0.0, ge=0, description="weight of the divergence from the base; 0 needs no copy"
    )
    temperature: float = Field(default=1.0, gt=0, description="of the episodes' sampling")
    save_every: int = Field(
        default=10, gt=0, description="steps between the states that a killed run resumes from"
    )
    lora_rank: int | None = Field(
        default=None,
        ge=0,
        description="of the adapter that is trained; 0 trains the whole language model, null is"
        " the profile's (verl), or 32 above a billion parameters and 0 up to there (local)",
    )
    micro_batch: int | None = Field(
        default=None,
        gt=0,
        description="episodes on a GPU at once in the update; null is the profile's (verl), or"
        " the base's `batch_size` as far as the memory goes (local)",
    )
    gradient_checkpointing: bool | None = Field(
        default=None,
        description="compute the layers' activations again instead of keeping them; null does so"
        " (verl), or above a billion parameters (local)",
    )
    refill: bool = Field(
        default=False,
        description="draw other questions, a few times, for those whose episodes all have one"
        " reward (DAPO's dynamic sampling)",
    )
    validate_every: int = Field(
        default=0,
        ge=0,
        description="steps between validations: greedy episodes in mode active, on questions whose"
        " pages are neither trained nor evaluated on; 0 is never",
    )
    validation_samples: int = Field(
        default=64, gt=0, description="questions of a validation, drawn besides `samples`"
    )
    tensorboard: bool = Field(default=False, description="log for TensorBoard as well")
    export: Literal["last", "best"] = Field(
        default="last",
        description="which saved state becomes the trained model; the best is the most often right"
        " in validation or, without one, has the highest mean reward since the one before it",
    )
    reward: RewardConfig = Field(
        default=RewardConfig(), description="constants of the reward that is trained on"
    )

    @property
    def drawn(self) -> int:
        """Questions to draw from the dataset, those of the validation among them."""
        return self.samples + (self.validation_samples if self.validate_every else 0)

    @abstractmethod
    def gpus(self, base: ModelConfig) -> int:
        """GPUs that the run takes, over all machines."""

    @property
    def trains_adapter(self) -> bool:
        """Whether an adapter is asked for; a large base may get one unasked."""
        return bool(self.lora_rank)

    @property
    def cores(self) -> int:
        """Cores of this machine that the run can use."""
        return 1

    def unfit(self, base: ModelConfig) -> str:
        """Why the engine cannot train the base; empty if it can."""
        return ""

    @field_validator("modes")
    @classmethod
    def _modes_zoom(cls, modes: tuple[str, ...]) -> tuple[str, ...]:
        known = [mode for mode in MODES if MODES[mode].zooms_for_real]
        for mode in modes:
            if mode not in known:
                raise ValueError(f"'{mode}' is no mode to learn zooming in: {', '.join(known)}")
        return modes

    @model_validator(mode="after")
    def _validates(self) -> Self:
        if self.validate_every > self.steps:
            raise ValueError(
                f"validate_every ({self.validate_every}) must not exceed steps ({self.steps}), or"
                " nothing is validated; 0 is never"
            )
        if self.export == "best" and self.validate_every and self.save_every % self.validate_every:
            raise ValueError(
                f"export best chooses among the states saved every {self.save_every} steps: set"
                f" save_every to a multiple of validate_every ({self.validate_every})"
            )
        return self
