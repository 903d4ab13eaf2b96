"""What a question asks for: one file a task.

A task says how a question is put, how a reply is read, and when an answer is right. Prompts, the
episode, scoring, the reward and every table ask it.
"""

from active_perception_r1.registry import Registry
from active_perception_r1.tasks._task import Judgement, Task

TASKS: Registry[Task] = Registry(__name__, "TASK")
DEFAULT_TASK = "short_answer"

__all__ = ["DEFAULT_TASK", "TASKS", "Judgement", "Task"]
