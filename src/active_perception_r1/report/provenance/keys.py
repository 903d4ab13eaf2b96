"""The keys of everything that a study's results were made by."""

from __future__ import annotations

from active_perception_r1.config.plan import StudyPlan
from active_perception_r1.keys import JobKeys, Key
from active_perception_r1.keys.stages import MANIFEST
from active_perception_r1.report.figures import Figure, figures_of


def study_keys(plan: StudyPlan) -> dict[str, Key]:
    """Of all jobs that take part in a study, by rule and what it is for."""
    keys = JobKeys(plan.config)
    return {
        **keys.of_study(plan.name),
        "gallery": keys.gallery(plan.name),
        "page": page_key(plan),
        **{f"training_gallery {run}": keys.training_gallery(plan.name, run) for run in plan.runs},
        **{
            f"draw_{name}": figure_key(name, figure, plan)
            for name, figure in figures_of(plan).items()
        },
    }


def figure_key(name: str, figure: Figure, plan: StudyPlan) -> Key:
    """Of a figure, by the name of its module."""
    return JobKeys(plan.config).figure(name, plan.name, figure.entries(plan))


def page_key(plan: StudyPlan) -> Key:
    """Of the page about a study, which shows the figures that it has."""
    return JobKeys(plan.config).page(plan.name, figures_of(plan))


def study_code(plan: StudyPlan) -> dict[str, str]:
    """Fingerprints of the code behind these jobs."""
    return {job: key.code for job, key in study_keys(plan).items()}


def manifest_key(plan: StudyPlan) -> Key:
    """Of the manifest, which lists that code."""
    return Key(MANIFEST.modules(), study_code(plan))
