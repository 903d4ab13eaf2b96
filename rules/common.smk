# What the rules share: the checked configuration, and functions from wildcards to its values.

import os
import sys
from pathlib import Path

from active_perception_r1.config import NAME, RESULTS, parse_config
from active_perception_r1.config.kept import keep, kept_path
from active_perception_r1.config.plan import StudyPlan
from active_perception_r1.errors import ConfigError
from active_perception_r1.keys import JobKeys, recipe_key
from active_perception_r1.modes import MODES
from active_perception_r1.report.figures import FIGURES, LeaderboardFigure, TrainingFigure
from active_perception_r1.report.provenance.keys import manifest_key
from active_perception_r1.storage.journal import retry_file
from active_perception_r1.variants import without_budget


def checked_settings():
    """The configuration; ends Snakemake with one line if it, or the results folder, is unusable."""
    try:
        settings = parse_config(config)
    except ConfigError as error:
        sys.exit(f"error: configuration: {error}")
    if RESULTS.exists() and not (RESULTS.is_dir() and os.access(RESULTS, os.W_OK | os.X_OK)):
        sys.exit(
            f"error: {RESULTS}: not a folder that can be written to; give access to it, or work"
            " in a copy"
        )
    return settings


settings = checked_settings()
keys = JobKeys(settings)

# Where jobs find it. Snakemake compares the text of a command before this is filled in, so another
# configuration runs no job again; what a job depends on is in its key.
config_path = kept_path(settings)


onstart:
    keep(settings)


# For envs/*.post-deploy.sh.
os.environ.update(ACTIVE_PERCEPTION_CHECKOUT=str(workflow.basedir))


wildcard_constraints:
    study=NAME,
    split=NAME,
    model=rf"{NAME}(@\d+)?",
    run=NAME,
    mode="|".join(MODES),


def get_key(rule):
    """The parameter by which Snakemake knows that a job must run again."""
    return lambda wildcards: str(getattr(keys, rule)(**wildcards))


def get_plan(wildcards):
    return StudyPlan(settings, wildcards.study)


def get_run(wildcards):
    return settings.training[wildcards.run]


def get_dataset_file(wildcards):
    """The local files behind a split, if any: then Snakemake sees when they change."""
    dataset = settings.studies[wildcards.study].dataset
    return [str(file) for file in dataset.files(wildcards.split)]


def get_partial_dataset(wildcards):
    """Where a download keeps the rows that it has."""
    return RESULTS / ".partial" / wildcards.study / "dataset" / wildcards.split


def get_slice(wildcards):
    """The slice that a study asks about."""
    split = settings.studies[wildcards.study].slice.split
    return expand(rules.sample_slice.output.slice, study=wildcards.study, split=split)


def get_grpo_data_input(wildcards):
    where = {"study": wildcards.study, "split": get_run(wildcards).split}
    return {
        "dataset": expand(rules.download_dataset.output.rows, **where),
        "about": expand(rules.download_dataset.output.about, **where),
        "evaluation_slice": get_slice(wildcards),
    }


def get_training_gpus(wildcards):
    run, base = settings.training_run(wildcards.run)
    return run.gpus(base)


def get_training_environment(wildcards):
    return f"../envs/{get_run(wildcards).environment}.yaml"


def get_checkpoint(wildcards):
    """Of a model that a training run makes; others are there already.

    The file with its hashes stands for the folder, which Snakemake compares by time only.
    """
    name = without_budget(wildcards.model)
    run = settings.training.get(name)
    if run is None:
        return []
    return expand(rules.grpo_train.output.about, study=run.study, run=name)


def get_infer_gpus(wildcards):
    return settings.model(wildcards.model).gpus


def get_infer_env(wildcards):
    """vLLM brings its own versions of torch and transformers, so it has an environment of its own."""
    vllm = settings.model(wildcards.model).backend == "vllm"
    return "../envs/vllm.yaml" if vllm else "../envs/models.yaml"


def get_partial(wildcards):
    """Where inference keeps finished episodes."""
    return RESULTS / ".partial" / wildcards.study / wildcards.model / f"{wildcards.mode}.jsonl"


def get_retry(wildcards):
    """Changes when inference has left infrastructure errors: then it runs again next time."""
    file = retry_file(get_partial(wildcards))
    return file.read_text() if file.exists() else ""


def expand_entries(output, entries, study):
    """An output of each of these entries of a study, in their order."""
    return [
        path
        for model, mode in entries
        for path in expand(output, study=study, model=model, mode=mode)
    ]


def get_scores(wildcards):
    return expand_entries(rules.score.output, get_plan(wildcards).entries, wildcards.study)


def get_figure_input(figure):
    """What a figure is drawn from, by the options of its command; a function of wildcards."""

    def of_study(wildcards):
        if isinstance(figure, LeaderboardFigure):
            return {"leaderboard": expand(rules.leaderboard.output.rows, **wildcards)}
        if isinstance(figure, TrainingFigure):
            return {"metrics": expand(rules.grpo_train.output.metrics, **wildcards)}
        entries = figure.entries(get_plan(wildcards))
        predictions = expand_entries(rules.infer.output.predictions, entries, wildcards.study)
        return {"slice": get_slice(wildcards), "predictions": predictions}

    return of_study


def get_figure_files(wildcards, input):
    """The same as arguments."""
    named = {option: list(files) for option, files in input.items()}
    return [word for option, files in named.items() for word in (f"--{option}", *files)]


def get_figure_key(name, figure):
    """As `get_key`."""

    def of_study(wildcards):
        return str(keys.figure(name, wildcards.study, figure.entries(get_plan(wildcards))))

    return of_study


def get_results(study):
    """Everything about a study that is made for its own sake."""
    plan = StudyPlan(settings, study)
    made = [rules.leaderboard, rules.diagnosis]
    return [
        *[path for rule in made for path in expand(rule.output, study=study)],
        *[str(path) for name, figure in FIGURES.items() for path in figure.files(name, plan)],
        *expand_entries([*rules.infer.output, *rules.score.output], plan.entries, study),
    ]


def get_manifest_key(wildcards):
    """As `get_key`."""
    return str(manifest_key(get_plan(wildcards)))


def get_study_files(wildcards):
    """What a manifest lists: a study's results, and all files between them and the configuration."""
    plan = get_plan(wildcards)
    data, trained = rules.grpo_data.output, rules.grpo_train.output
    return [
        *get_results(wildcards.study),
        *expand(rules.sample_slice.output, study=plan.name, split=plan.study.slice.split),
        *[
            path
            for name, run in plan.runs.items()
            for path in expand([*data, trained.metrics, trained.about], study=run.study, run=name)
        ],
        *[
            path
            for study, split in plan.splits
            for path in expand(rules.download_dataset.output, study=study, split=split)
        ],
    ]


def get_model_folders(wildcards):
    """Folders of weights: those that are there, and those that training makes.

    Snakemake compares folders by time only. So they are no inputs: predictions depend on their
    content, and the manifest on the predictions.
    """
    return get_plan(wildcards).model_folders


def get_targets():
    """What `snakemake` without a target makes: everything about the chosen study."""
    return [*get_results(settings.study), *expand(rules.manifest.output, study=settings.study)]
