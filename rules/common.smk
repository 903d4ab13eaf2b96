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
from active_perception_r1.runtime.installation import requirement
from active_perception_r1.runtime.processes import put_on_path
from active_perception_r1.storage.journal import retries
from active_perception_r1.storage.shards import WHOLE, Shard
from active_perception_r1.variants import without_budget

put_on_path()

# Not `workflow.basedir`, which is another workflow's folder where that has this one as a module.
checkout = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parent

# Not by `configfile`, which does not tell where a relative path comes from.
try:
    settings = usable_config(checkout / "workflow_config.yaml", config)
except UserError as error:
    sys.exit(f"error: {error}")

if any(brace in str(checkout) for brace in "{}"):
    sys.exit(
        f"error: {checkout}: Snakemake takes what stands in braces for a wildcard; rename that"
        " folder"
    )


# For `--sdm apptainer`. It stands before all rules, since it is that of the rules after it.
container: settings.container


keys = JobKeys(settings)

# Where jobs find it. It is a resource, since Snakemake compares parameters but not resources: another
# configuration runs no job again; what a job depends on is in its key.
config_path = kept_path(settings)


onstart:
    keep(settings)


# Snakemake does not tell a module when a run starts.
if not workflow.modifier.is_main_snakefile():
    keep(settings)


# For envs/*.post-deploy.sh; and for jobs, which leave models loaded as long as this process lives.
os.environ.update(ACTIVE_PERCEPTION_PACKAGE=requirement(), ACTIVE_PERCEPTION_RUN=str(os.getpid()))


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


def get_training_cores(wildcards):
    return settings.training[wildcards.run].cores


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
    names = settings.sharded(sharded)
    return rf"({'|'.join(map(re.escape, names)) or '(?!)'})(@\d+)?"


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
