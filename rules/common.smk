# What the rules share: the checked configuration, and functions from wildcards to its values.

import functools
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from active_perception_r1.modes import MODES
from active_perception_r1.config import NAME, RESULTS, parse_config
from active_perception_r1.data.dependence import download_code
from active_perception_r1.errors import ConfigError
from active_perception_r1.models.dependence import (
    inference_code,
    inference_settings,
    training_code,
    training_settings,
)
from active_perception_r1.report.figures import (
    FIGURES,
    EpisodesFigure,
    LeaderboardFigure,
    TrainingFigure,
)
from active_perception_r1.scoring.metrics import METRICS
from active_perception_r1.storage.fingerprint import (
    SOURCE,
    code_fingerprint,
    folder_fingerprint,
    local_content,
)
from active_perception_r1.storage.journal import retry_file
from active_perception_r1.variants import without_budget, first_view_pixels, variant


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

# For envs/*.post-deploy.sh.
os.environ.update(ACTIVE_PERCEPTION_CHECKOUT=str(workflow.basedir))


wildcard_constraints:
    study=NAME,
    split=NAME,
    model=rf"{NAME}(@\d+)?",
    run=NAME,
    mode="|".join(MODES),


# Hashed once, however many jobs use it.
local_content = functools.cache(local_content)


def as_json(section):
    """A section of the configuration as an argument of a command."""
    return section.model_dump_json(exclude_none=True)


# How GPUs are shared changes no result, and so makes no job run again.
gpu_sharing = as_json(settings.gpu)


def get_study(wildcards):
    return settings.studies[wildcards.study]


def get_task(wildcards):
    return get_study(wildcards).task


def get_run(wildcards):
    return settings.training[wildcards.run]


def get_dataset_file(wildcards):
    """The local files behind a split, if any: then Snakemake sees when they change."""
    return [str(file) for file in get_study(wildcards).dataset.files(wildcards.split)]


def get_dataset_settings(wildcards):
    """As far as they concern the split."""
    return as_json(get_study(wildcards).dataset.of_split(wildcards.split))


def get_download_code(wildcards):
    return download_code(get_study(wildcards).dataset)


def get_dataset_content(wildcards):
    return get_study(wildcards).dataset.content


def get_partial_dataset(wildcards):
    """Where a download keeps the rows that it has."""
    return RESULTS / ".partial" / wildcards.study / "dataset" / wildcards.split


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


def get_grpo_draw(wildcards):
    """One parameter: Snakemake compares values without their names, so two could change places."""
    return f"--samples {get_run(wildcards).samples} --seed {get_run(wildcards).seed}"


def get_base(wildcards):
    return settings.models[get_run(wildcards).base]


def get_inference_settings(wildcards):
    model, task = settings.model(wildcards.model), get_task(wildcards)
    return inference_settings(model, wildcards.mode, task)


def get_training_settings(wildcards):
    return training_settings(get_run(wildcards), get_base(wildcards), get_task(wildcards))


def get_training_gpus(wildcards):
    return get_run(wildcards).gpus(get_base(wildcards))


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


def get_weights(wildcards):
    """Content of a model that is not an input of the rule."""
    if without_budget(wildcards.model) in settings.training:
        return ""
    return local_content(settings.model(wildcards.model).id)


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


def get_reward(wildcards):
    return json.dumps(asdict(get_study(wildcards).reward))


def get_entries(wildcards):
    """Model and mode of every row of a leaderboard."""
    study = get_study(wildcards)
    return [(model, mode) for model in study.variants for mode in study.modes]


def expand_entries(output, entries, wildcards):
    """An output of each of these entries of a study, in their order."""
    return [
        path
        for model, mode in entries
        for path in expand(output, study=wildcards.study, model=model, mode=mode)
    ]


def get_scores(wildcards):
    return expand_entries(rules.score.output, get_entries(wildcards), wildcards)


def get_score_arguments(wildcards, input):
    entries = get_entries(wildcards)
    return [f"{model}/{mode}={path}" for (model, mode), path in zip(entries, input, strict=True)]


def get_figure_entries(figure, wildcards):
    """Model and mode of the predictions that a figure shows."""
    return [entry for entry in get_entries(wildcards) if figure.shows(MODES[entry[1]])]


def get_figure_input(figure):
    """What a figure is drawn from, by the options of its command; a function of wildcards."""

    def of_study(wildcards):
        if isinstance(figure, LeaderboardFigure):
            return {"leaderboard": expand(rules.leaderboard.output.rows, **wildcards)}
        if isinstance(figure, TrainingFigure):
            return {"metrics": expand(rules.grpo_train.output.metrics, **wildcards)}
        entries = get_figure_entries(figure, wildcards)
        predictions = expand_entries(rules.infer.output.predictions, entries, wildcards)
        return {"slice": get_slice(wildcards), "predictions": predictions}

    return of_study


def get_figure_files(figure):
    """The same as arguments."""

    def of_study(wildcards, input):
        named = {option: list(files) for option, files in input.items()}
        if isinstance(figure, EpisodesFigure):
            entries = get_figure_entries(figure, wildcards)
            named["predictions"] = [
                f"{model}/{mode}={path}"
                for (model, mode), path in zip(entries, named["predictions"], strict=True)
            ]
        return [word for option, files in named.items() for word in (f"--{option}", *files)]

    return of_study


def get_figure_settings(figure):
    """What a figure of episodes must know of the study, as arguments."""

    def of_study(wildcards, input):
        reward, models = get_reward(wildcards), get_study_models(wildcards, input)
        study = ["--study", wildcards.study, "--task", get_task(wildcards)]
        return [*study, "--models", models, "--reward", reward]

    return of_study if isinstance(figure, EpisodesFigure) else []


def get_figure_code(name):
    # Prompts and rules of modes show in the predictions.
    code = [code_fingerprint(f"report.figures.{name}", without=("prompts",))]
    if name == "gallery":
        code.append(folder_fingerprint(SOURCE / "active_perception_r1/report/gallery/assets"))
    return code


def get_study_models(wildcards, input):
    """As much of the entries of a study's models, by name, as decides what an episode shows.

    `input` keeps Snakemake from comparing them: what they changed shows in the predictions.
    """
    keys = {"id", "zoom_syntax", "prompts", "first_view", "crop", "max_zooms", "max_turns"}
    models = {model: settings.model(model) for model, _ in get_entries(wildcards)}
    return json.dumps({name: model.model_dump(include=keys) for name, model in models.items()})


def get_started_from(wildcards):
    """Which of the study's models were trained, and from what; a variant from the same variant."""
    started_from = {}
    for name in get_study(wildcards).variants:
        if run := settings.training.get(without_budget(name)):
            pixels = first_view_pixels(name)
            started_from[name] = variant(run.base, pixels) if pixels else run.base
    return json.dumps(started_from)


def get_runs(study):
    """The training runs among a study's models, by name."""
    models = settings.studies[study].models
    return {name: settings.training[name] for name in models if name in settings.training}


def get_figures(study):
    """The files of all figures of a study."""
    found = []
    for name, figure in FIGURES.items():
        file = f"{RESULTS}/{{study}}/report/{figure.file_name(name)}"
        if isinstance(figure, TrainingFigure):
            for run, entry in get_runs(study).items():
                found += expand(file, study=entry.study, run=run)
        elif figure.is_in(settings.studies[study]):
            found += expand(file, study=study)
    return found


def get_results(study):
    """Everything about a study that is made for its own sake."""
    chosen = settings.studies[study]
    return [
        *expand(rules.leaderboard.output, study=study),
        *expand(rules.diagnosis.output, study=study),
        *get_figures(study),
        *expand(
            [*rules.infer.output, *rules.score.output],
            study=study,
            model=chosen.variants,
            mode=chosen.modes,
        ),
    ]


def get_study_files(wildcards):
    """What a manifest lists: a study's results, and all files between them and the configuration."""
    study = get_study(wildcards)
    splits = {(wildcards.study, study.slice.split)}
    files = [
        *get_results(wildcards.study),
        *expand(rules.sample_slice.output, study=wildcards.study, split=study.slice.split),
    ]
    for name, run in get_runs(wildcards.study).items():
        splits.add((run.study, run.split))
        made = [
            *rules.grpo_data.output,
            rules.grpo_train.output.metrics,
            rules.grpo_train.output.about,
        ]
        files += expand(made, study=run.study, run=name)
    for owner, split in sorted(splits):
        files += expand(rules.download_dataset.output, study=owner, split=split)
    return files


def get_model_folders(wildcards):
    """Folders of weights: those that are there, and those that training makes.

    Snakemake compares folders by time only. So they are no inputs: predictions depend on their
    content, and the manifest on the predictions.
    """
    study = get_study(wildcards)
    trained = [
        folder
        for name, run in get_runs(wildcards.study).items()
        for folder in expand(rules.grpo_train.output.checkpoint, study=run.study, run=name)
    ]
    bases = [run.base for run in get_runs(wildcards.study).values()]
    given = {
        settings.models[name].id for name in [*study.models, *bases] if name in settings.models
    }
    return [*sorted(id for id in given if Path(id).is_dir()), *trained]


def get_code(wildcards):
    """Fingerprint of the code behind every rule that takes part in a study."""
    study, runs = get_study(wildcards), get_runs(wildcards.study)
    code = {
        known.name: known.params.code
        for known in workflow.rules
        if "study" in known.wildcard_names and (runs or "run" not in known.wildcard_names)
    }
    code["download_dataset"] = get_download_code(wildcards)
    del code["infer"]  # Each model has its own,
    for model in study.variants:
        code[f"infer {model}"] = inference_code(settings.model(model))
    code.pop("grpo_train", None)  # and each training run.
    for name, run in runs.items():
        code[f"grpo_train {name}"] = training_code(run.engine)
    return json.dumps(code)


def get_config_files():
    """The configuration files, each of which was merged over those before it."""
    given = [Path(file).absolute() for file in workflow.config_settings.configfiles]
    read = [Path(file).absolute() for file in workflow.configfiles]
    return [*(file for file in read if file not in given), *given]


def get_config_values():
    """What `--config` sets, the choice of a study aside."""
    given = workflow.config_settings.config or {}
    return {key: value for key, value in given.items() if key != "study"}


def get_repeats(wildcards):
    study = get_study(wildcards)
    if not study.first_views:
        return json.dumps(study.repeats)
    return json.dumps(
        {
            variant(group, pixels): [variant(member, pixels) for member in members]
            for group, members in study.repeats.items()
            for pixels in study.first_views
        }
    )


def get_views(wildcards):
    """How each of the study's models is shown a page at first."""
    models = get_study(wildcards).variants
    return json.dumps({name: settings.model(name).first_view.model_dump() for name in models})


def get_targets():
    """What `snakemake` without a target makes: everything about the chosen study."""
    return [*get_results(settings.study), *expand(rules.manifest.output, study=settings.study)]
