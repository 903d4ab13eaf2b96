"""What a task is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from active_perception_r1.utils.trace_parser import parse_answer


@dataclass(frozen=True, slots=True)
class Judgement:
    """How good an answer is.

    Attributes:
        score: in [0, 1], as the task's benchmark counts it.
        correct: what accuracy, paired tests and the reward count.
    """

    score: float
    correct: bool


class Task(ABC):
    """One kind of question.

    Attributes:
        instruction: ends the prompt: how to answer, and in which form.
        shows_options: whether a model is asked to choose.
    """

    instruction: ClassVar[str]
    shows_options: ClassVar[bool] = False

    def put(self, question: str, options: Sequence[str] = ()) -> str:
        """The question as a model is asked it.

        Args:
            options: to choose from, in their order; empty where the answer is free.
        """
        return question

    def read(self, text: str) -> str | None:
        """The answer in a reply; None if there is none."""
        return parse_answer(text)

    @abstractmethod
    def judge(
        self, answer: str | None, answers: Sequence[str], options: Sequence[str] = ()
    ) -> Judgement:
        """Compare an answer with the accepted ones; no answer (None) is never right."""
