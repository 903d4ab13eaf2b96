# What the rules share: the checked configuration, and functions from wildcards to its values.

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from active_perception_r1.config import NAME, RESULTS, parse_config
from active_perception_r1.errors import ConfigError
from active_perception_r1.records import Mode
from active_perception_r1.runtime.fingerprint import code_fingerprint, local_content
from active_perception_r1.training.engines import engine_fingerprint


def checked_settings():
    """The configuration; ends Snakemake with one line if it, or the results folder, is unusable."""
    try:
        settings = parse_config(config)
    except ConfigError as error:
        sys.exit(f"error: configuration: {error}")
    if RESULTS.exists() and not (RESULTS.is_dir() and os.access(RESULTS, os.W_OK | os.X_OK)):
        sys.exit(f"error: {RESULTS}: not a folder that can be written to")
    return settings


settings = checked_settings()


wildcard_constraints:
    study=NAME,
    split=NAME,
    model=NAME,
    run=NAME,
    mode="|".join(Mode),


def as_json(section):
    """A section of the configuration as an argument of a command."""
    return section.model_dump_json()


def get_study(wildcards):
    return settings.studies[wildcards.study]


def get_run(wildcards):
    return settings.training[wildcards.run]


def get_dataset_file(wildcards):
    """The local file behind a split, if there is one: then Snakemake sees when it changes."""
    dataset = get_study(wildcards).dataset
    if dataset.source != "parquet":
        return []
    return str(
        dataset.path / f"{wildcards.split}.parquet" if dataset.path.is_dir() else dataset.path
    )


def get_dataset_settings(wildcards):
    """As far as they concern the split."""
    dataset = get_study(wildcards).dataset
    if dataset.source == "synthetic":
        questions = {wildcards.split: dataset.questions[wildcards.split]}
        dataset = dataset.model_copy(update={"questions": questions})
    return as_json(dataset)


def get_dataset_content(wildcards):
    dataset = get_study(wildcards).dataset
    return local_content(dataset.id) if dataset.source == "hub" else ""


def get_slice(wildcards):
    """The slice that a study asks about."""
    split = get_study(wildcards).slice.split
    return expand(rules.sample_slice.output.slice, study=wildcards.study, split=split)


def get_grpo_data_input(wildcards):
    where = {"study": wildcards.study, "split": get_run(wildcards).split}
    return {
        "dataset": expand(rules.download_dataset.output.rows, **where),
        "about": expand(rules.download_dataset.output.about, **where),
        "evaluation_slice": get_slice(wildcards),
    }


def get_base(wildcards):
    return settings.models[get_run(wildcards).base]


def get_training_gpus(wildcards):
    run = get_run(wildcards)
    return run.gpus if run.engine == "verl" else get_base(wildcards).gpus


def get_training_environment(wildcards):
    verl = get_run(wildcards).engine == "verl"
    return "../envs/train.yaml" if verl else "../envs/models.yaml"


def get_checkpoint(wildcards):
    """Of a model that a training run makes; others are there already.

    The file with its hashes stands for the folder, which Snakemake compares by time only.
    """
    run = settings.training.get(wildcards.model)
    if run is None:
        return []
    return expand(rules.grpo_train.output.about, study=run.study, run=wildcards.model)


def get_weights(wildcards):
    """Content of a model that is not an input of the rule."""
    if wildcards.model in settings.training:
        return ""
    return local_content(settings.model(wildcards.model).id)


def get_reward(wildcards):
    return json.dumps(asdict(get_study(wildcards).reward))


def get_entries(wildcards):
    """Model and mode of every row of a leaderboard."""
    study = get_study(wildcards)
    return [(model, mode) for model in study.models for mode in study.modes]


def get_scores(wildcards):
    return [
        path
        for model, mode in get_entries(wildcards)
        for path in expand(rules.score.output, study=wildcards.study, model=model, mode=mode)
    ]


def get_score_arguments(wildcards, input):
    entries = get_entries(wildcards)
    return [f"{model}/{mode}={path}" for (model, mode), path in zip(entries, input, strict=True)]


def get_base_of(wildcards):
    """Which of the study's models were trained, and from what."""
    runs = settings.training
    return json.dumps(
        {model: runs[model].base for model in get_study(wildcards).models if model in runs}
    )


def get_targets():
    """What `snakemake` without a target makes: everything about the chosen study."""
    study = settings.studies[settings.study]
    runs = {name: settings.training[name] for name in study.models if name in settings.training}
    return [
        *expand(rules.leaderboard.output, study=settings.study),
        *expand(rules.accuracy_figure.output, study=settings.study),
        *expand(
            [*rules.infer.output, *rules.score.output],
            study=settings.study,
            model=study.models,
            mode=study.modes,
        ),
        *[
            figure
            for name, run in runs.items()
            for figure in expand(rules.learning_curve.output, study=run.study, run=name)
        ],
    ]
