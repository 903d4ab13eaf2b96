"""The pictures of a study's report: one module a figure, and its caption in `report/`.

A figure says what it is drawn from, and when a study has it; the pipeline asks it. Modules import
Matplotlib only where they draw: it takes half a second, and the pipeline reads all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from active_perception_r1.config.plan import StudyPlan
from active_perception_r1.registry import Registry
from active_perception_r1.report.figures._figure import (
    EpisodesFigure,
    Figure,
    LeaderboardFigure,
    TrainingFigure,
)

FIGURES: Registry[Figure] = Registry(__name__, "FIGURE")


def figures_of(plan: StudyPlan) -> dict[str, Figure]:
    """The figures that a study has, by name."""
    return {name: figure for name, figure in FIGURES.items() if figure.files(name, plan)}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure that was drawn.

    Attributes:
        run: the training run that it is about; empty if none.
    """

    title: str
    run: str
    path: Path


def drawn_of(plan: StudyPlan, files: Sequence[Path]) -> list[Drawn]:
    """These figures of a study, known by their names."""
    # Those that are not among the files are asked nothing: they decide nothing about a page.
    given = {_stem(path.name) for path in files}
    drawn = {name: fig for name, fig in FIGURES.items() if _stem(fig.file_name(name)) in given}
    by_name = {
        path.name: (figure.title, run)
        for name, figure in drawn.items()
        for path, run in zip(figure.files(name, plan), figure.runs(plan), strict=True)
    }
    return [Drawn(*by_name[path.name], path) for path in files if path.name in by_name]


def _stem(name: str) -> str:
    """Of the name of a figure's file, what comes before a run's name."""
    return name.partition(".")[0]


__all__ = [
    "FIGURES",
    "Drawn",
    "EpisodesFigure",
    "Figure",
    "LeaderboardFigure",
    "TrainingFigure",
    "drawn_of",
    "figures_of",
]
