# What the rules share: the checked configuration, and functions from wildcards to its values.

import os
import re
import sys
from pathlib import Path

from active_perception_r1.config import NAME
from active_perception_r1.config.kept import keep, kept_path, usable_config
from active_perception_r1.config.plan import StudyPlan
from active_perception_r1.errors import UserError
from active_perception_r1.keys import JobKeys, recipe_key
from active_perception_r1.modes import MODES
from active_perception_r1.report.figures import FIGURES, LeaderboardFigure, TrainingFigure
from active_perception_r1.report.provenance.keys import figure_key, manifest_key
from active_perception_r1.storage.journal import retries
from active_perception_r1.storage.shards import WHOLE, Shard
from active_perception_r1.variants import without_budget

try:
    settings = usable_config(config)
except UserError as error:
    sys.exit(f"error: {error}")

if any(brace in str(workflow.basedir) for brace in "{}"):
    sys.exit(
        f"error: {workflow.basedir}: Snakemake takes what stands in braces for a wildcard; rename that"
        " folder"
    )

keys = JobKeys(settings)

# Where jobs find it. It is a resource, since Snakemake compares parameters but not resources: another
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
    shard=r"\d+-of-\d+",


def get_key(rule):
    """The parameter by which Snakemake knows that a job must run again."""
    return lambda wildcards: str(getattr(keys, rule)(**wildcards))


def get_plan(wildcards):
    return StudyPlan(settings, wildcards.study)


def get_dataset_file(wildcards):
    """The local files behind a split, if any: then Snakemake sees when they change."""
    return [str(file) for file in get_plan(wildcards).study.dataset.files(wildcards.split)]


def get_partial_dataset(wildcards):
    return get_plan(wildcards).partial_dataset(wildcards.split)


def get_slice(wildcards):
    """The slice that a study asks about."""
    split = get_plan(wildcards).study.slice.split
    return expand(rules.sample_slice.output.slice, study=wildcards.study, split=split)


def get_grpo_data_input(wildcards):
    where = {"study": wildcards.study, "split": settings.training[wildcards.run].split}
    return {
        "dataset": expand(rules.download_dataset.output.rows, **where),
        "about": expand(rules.download_dataset.output.about, **where),
        "evaluation_slice": get_slice(wildcards),
    }


def get_training_gpus(wildcards):
    run, base = settings.training_run(wildcards.run)
    return run.gpus(base)


def get_training_environment(wildcards):
    return f"../envs/{settings.training[wildcards.run].environment}.yaml"


def get_checkpoint(wildcards):
    """Of a model that a training run makes; others are there already.

    The file with its hashes stands for the folder, which Snakemake compares by time only.
    """
    name = without_budget(wildcards.model)
    run = settings.training.get(name)
    return expand(rules.grpo_train.output.about, study=run.study, run=name) if run else []


def get_earlier(wildcards):
    """The model's predictions in the mode that this one goes by, if it goes by one."""
    by = MODES[wildcards.mode].goes_by
    where = {"study": wildcards.study, "model": wildcards.model, "mode": by}
    return expand(rules.infer.output.predictions, **where) if by else []


def get_earlier_option(wildcards, input):
    """The same as an argument."""
    return [f"--earlier {file}" for file in input.earlier]


def get_infer_gpus(wildcards):
    return settings.model(wildcards.model).gpus


def get_infer_env(wildcards):
    return f"../envs/{settings.model(wildcards.model).environment}.yaml"


def get_models(sharded):
    """A pattern of the models whose slices are split into several jobs, or are not."""
    names = [*settings.models, *settings.training]
    chosen = [name for name in names if (settings.model(name).shards > 1) == sharded]
    return rf"({'|'.join(map(re.escape, chosen)) or '(?!)'})(@\d+)?"


def get_shards(wildcards):
    """The parts of a model's predictions, in their order."""
    count = settings.model(wildcards.model).shards
    shards = [Shard(number, count) for number in range(1, count + 1)]
    return expand(rules.infer_shard.output.predictions, shard=shards, **wildcards)


def get_partial(wildcards):
    shard = Shard.named(wildcards.get("shard", str(WHOLE)))
    return get_plan(wildcards).partial_episodes(wildcards.model, wildcards.mode, shard)


def get_retry(wildcards):
    """Changes when inference has left infrastructure errors: then it runs again next time."""
    return retries(get_partial(wildcards))


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
    return lambda wildcards: str(figure_key(name, figure, get_plan(wildcards)))


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
    trained = rules.grpo_train.output
    of_run = [*rules.grpo_data.output, trained.metrics, trained.about]
    return [
        *get_results(wildcards.study),
        *expand(rules.sample_slice.output, study=plan.name, split=plan.study.slice.split),
        *[
            path
            for name, run in plan.runs.items()
            for path in expand(of_run, study=run.study, run=name)
        ],
        *[
            path
            for study, split in plan.splits
            for path in expand(rules.download_dataset.output, study=study, split=split)
        ],
    ]


def get_model_folders(wildcards):
    """No inputs, since Snakemake compares folders by time only: predictions depend on them."""
    return get_plan(wildcards).model_folders


def get_targets():
    """What `snakemake` without a target makes: everything about the chosen study."""
    return [*get_results(settings.study), *expand(rules.manifest.output, study=settings.study)]
