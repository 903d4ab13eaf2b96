"""Evaluation results for model pages and leaderboards of the Hugging Face Hub.

One file for each model and mode, as it goes into the folder `.eval_results/` of the model's
repository (https://huggingface.co/docs/hub/eval-results). There, a result without a note is one
without tools, so the modes that zoom say in `notes` what the model could do. Controls, and the
oracle, are no results of a model and stay out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

from active_perception_r1.config.sources.hub import HubDataset
from active_perception_r1.errors import DataError
from active_perception_r1.modes import BASELINE, MODES
from active_perception_r1.report.answers import Entry
from active_perception_r1.report.exports import Export
from active_perception_r1.report.finished import FinishedStudy
from active_perception_r1.storage.files import atomic


def write(study: FinishedStudy, folder: Path) -> Iterator[Path]:
    """
    Raises:
        DataError: the dataset, or one of the models, is not one of the Hub.
    """
    dataset = study.plan.study.dataset
    if not isinstance(dataset, HubDataset) or not dataset.repository:
        raise DataError(
            f"study {study.plan.name}: the Hub takes results about its own datasets only, and"
            f" {dataset.name} is none; choose --to inspect or --to sts"
        )
    entries = [entry for entry in study.answers.entries if _is_a_result(entry)]
    for entry in entries:
        if not _is_on_hub(study, entry):
            raise DataError(
                f"model {entry.model}: the Hub keeps results with its own models only, and"
                f" {entry.settings.id} is none; upload it first, or leave it out of the study"
            )
    for entry in entries:
        result = _result(study, entry, dataset)
        path = folder / entry.settings.id / ".eval_results" / f"{_file_name(study, entry)}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as part:
            text = yaml.safe_dump(eval_result_entries_to_yaml([result]), sort_keys=False)
            part.write_text(text, encoding="utf-8")
        yield path


def _is_a_result(entry: Entry) -> bool:
    return entry.mode == BASELINE or MODES[entry.mode].zooms_for_real


def _is_on_hub(study: FinishedStudy, entry: Entry) -> bool:
    trained = entry.model in study.plan.started_from
    served = entry.settings.openai is not None
    return not (trained or served or Path(entry.settings.id).is_dir())


def _file_name(study: FinishedStudy, entry: Entry) -> str:
    return study.plan.name if entry.mode == BASELINE else f"{study.plan.name}_{entry.mode}"


def _result(study: FinishedStudy, entry: Entry, dataset: HubDataset) -> EvalResultEntry:
    row, split = study.row(entry), study.plan.study.slice.split
    note = f"The model {MODES[entry.mode].summary}; {row.n} questions of split {split}."
    return EvalResultEntry(
        dataset_id=dataset.id,
        task_id=dataset.config or "default",
        value=row.accuracy,
        dataset_revision=study.manifest["revisions"]["dataset"].get(split),
        date=study.manifest["created"],
        notes=None if entry.mode == BASELINE else note,
    )


EXPORT = Export("results for model pages and leaderboards of the Hugging Face Hub", write)
