"""What every model did on each question, on one page."""

from __future__ import annotations

from pathlib import Path

from active_perception_r1.report.answers import Answers
from active_perception_r1.report.figures._figure import EpisodesFigure

MAX_EPISODES = 1000


def draw(answers: Answers, output: Path) -> None:
    """Write the page.

    Raises:
        DataError: a file cannot be read, or predictions are not those of the slice.
    """
    from active_perception_r1.report.gallery import write_gallery

    write_gallery(answers, MAX_EPISODES, output)


FIGURE = EpisodesFigure(title="trace gallery", category="Traces", file="gallery.html", draw=draw)
