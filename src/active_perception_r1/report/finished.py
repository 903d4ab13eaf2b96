"""A finished study, by its folder of results alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from active_perception_r1.config import parse_config
from active_perception_r1.config.plan import StudyPlan
from active_perception_r1.errors import DataError
from active_perception_r1.report.answers import Answers, Entry
from active_perception_r1.report.provenance import manifest as manifests
from active_perception_r1.report.provenance.pin import PIN
from active_perception_r1.scoring.leaderboard_row import LeaderboardRow, read_leaderboard


@dataclass(frozen=True, slots=True)
class FinishedStudy:
    """Everything that was found, and what it was made from.

    Attributes:
        plan: of the configuration that it was made with, which its manifest holds.
        rows: of its leaderboard, one for each of the plan's entries.
    """

    folder: Path
    plan: StudyPlan
    manifest: Mapping[str, Any]
    rows: Sequence[LeaderboardRow]

    @property
    def answers(self) -> Answers:
        study = self.plan.study
        return Answers(
            study=self.plan.name,
            slice_file=self.folder / "slice" / f"{study.slice.split}.parquet",
            entries=[
                Entry(model, mode, self.plan.model(model), self._of("predictions", model, mode))
                for model, mode in self.plan.entries
            ],
            reward=study.reward,
            task=study.task,
        )

    def scores(self, entry: Entry) -> Path:
        """The table of scores of a model in a mode."""
        return self._of("scores", entry.model, entry.mode)

    def row(self, entry: Entry) -> LeaderboardRow:
        """The row of a model in a mode."""
        return next(row for row in self.rows if (row.model, row.mode) == (entry.model, entry.mode))

    def _of(self, kind: str, model: str, mode: str) -> Path:
        suffix = {"predictions": "jsonl", "scores": "parquet"}[kind]
        return self.folder / kind / model / f"{mode}.{suffix}"


def read_study(folder: Path) -> FinishedStudy:
    """The study whose results are in a folder.

    Raises:
        DataError: it has no manifest or leaderboard, or only a part of its results is there, as
            where they are pinned.
    """
    if (folder / PIN).exists():
        raise DataError(
            f"{folder}: pinned results are without the images of their pages; make the study again"
            f" with --configfile {folder / 'config.yaml'}, and export the folder of its results"
        )
    manifest = manifests.read_manifest(folder / manifests.NAME)
    plan = StudyPlan(parse_config(manifest["config"]), manifest["study"])
    study = FinishedStudy(folder, plan, manifest, read_leaderboard(folder / "leaderboard.json"))
    answers = study.answers
    needed = [answers.slice_file, *(entry.predictions for entry in answers.entries)]
    for path in [*needed, *map(study.scores, answers.entries)]:
        if not path.exists():
            raise DataError(f"{path}: not there; give the folder of a study that ran to its end")
    return study
