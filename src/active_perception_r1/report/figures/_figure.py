"""What a figure is, by what it is drawn from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from active_perception_r1.config import RESULTS, StudyConfig
from active_perception_r1.config.plan import StudyPlan
from active_perception_r1.modes import MODES, Mode
from active_perception_r1.report.answers import Answers
from active_perception_r1.report.figures._curves import Curves
from active_perception_r1.scoring.leaderboard_row import LeaderboardRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure(ABC):
    """A picture in a study's report.

    Attributes:
        title: what the report calls it.
        category: the part of the report that it is in.
        file: its name; that of the module, with .svg, if not given.
    """

    title: str
    category: str
    file: str | None = None

    def file_name(self, name: str) -> str:
        """Its file; a pattern with `{run}` where a study has one for each of several runs.

        Args:
            name: of the module.
        """
        return self.file or f"{name}.svg"

    @property
    def labels(self) -> dict[str, str]:
        """By which the report tells its files apart."""
        return {"figure": self.title}

    @abstractmethod
    def shows_something_of(self, plan: StudyPlan) -> bool:
        """Whether a study has it."""

    def files(self, name: str, plan: StudyPlan) -> list[Path]:
        """The files of it that a study has.

        Args:
            name: of the module.
        """
        folder = RESULTS / plan.name / "report"
        return [folder / self.file_name(name)] if self.shows_something_of(plan) else []

    def runs(self, plan: StudyPlan) -> list[str]:
        """The training run that each of these files is about; an empty name if none."""
        return [""] * self.shows_something_of(plan)

    def entries(self, plan: StudyPlan) -> list[tuple[str, str]]:
        """Model and mode of the predictions of a study that it shows."""
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderboardFigure(Figure):
    """Drawn from the rows of a leaderboard.

    Attributes:
        draw: writes the file.
        needs: whether there is anything to be seen of a study.
    """

    draw: Callable[[Sequence[LeaderboardRow], Path], None]
    needs: Callable[[StudyConfig], bool] = lambda study: True

    def shows_something_of(self, plan: StudyPlan) -> bool:
        return self.needs(plan.study)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodesFigure(Figure):
    """Drawn from the predictions in the modes that it shows.

    Attributes:
        draw: writes the file.
        shows: whether it shows a mode.
    """

    draw: Callable[[Answers, Path], None]
    shows: Callable[[Mode], bool] = lambda mode: True

    def shows_something_of(self, plan: StudyPlan) -> bool:
        return bool(self.entries(plan))

    def entries(self, plan: StudyPlan) -> list[tuple[str, str]]:
        return [(model, mode) for model, mode in plan.entries if self.shows(MODES[mode])]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFigure(Figure):
    """Drawn from the metrics of a training run; a study has one for every run among its models.

    Attributes:
        draw: writes the file.
    """

    draw: Callable[[Curves, Path], None]

    def file_name(self, name: str) -> str:
        return self.file or f"{name}.{{run}}.svg"

    @property
    def labels(self) -> dict[str, str]:
        return {"run": "{run}", "figure": self.title}

    def shows_something_of(self, plan: StudyPlan) -> bool:
        return bool(plan.runs)

    def runs(self, plan: StudyPlan) -> list[str]:
        return list(plan.runs)

    def files(self, name: str, plan: StudyPlan) -> list[Path]:
        file = self.file_name(name)
        return [
            RESULTS / run.study / "report" / file.format(run=trained)
            for trained, run in plan.runs.items()
        ]
