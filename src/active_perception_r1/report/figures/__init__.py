"""The pictures and pages of a study's report: one file a figure, and its caption in `report/`.

A figure says what it is drawn from, and when a study has it; the pipeline asks it. Modules import
Matplotlib only where they draw: it takes half a second, and the pipeline reads all of them.
"""

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


__all__ = [
    "FIGURES",
    "EpisodesFigure",
    "Figure",
    "LeaderboardFigure",
    "TrainingFigure",
    "figures_of",
]
