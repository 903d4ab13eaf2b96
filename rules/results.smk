# What a study leaves, and what figures and the manifest are made of: functions from wildcards.

from active_perception_r1.config.plan import StudyPlan
from active_perception_r1.report.figures import FIGURES, LeaderboardFigure, TrainingFigure
from active_perception_r1.report.page.findings import findings
from active_perception_r1.report.provenance.keys import figure_key, manifest_key, page_key

from active_perception_r1.scoring.leaderboard_row import read_leaderboard


def expand_entries(output, entries, study):
    """An output of each of these entries of a study, in their order."""
    return [
        path
        for model, mode in entries
        for path in expand(output, study=study, model=model, mode=mode)
    ]


def get_scores(wildcards):
    return expand_entries(rules.score.output, get_plan(wildcards).entries, wildcards.study)


def get_predictions(wildcards):
    output = rules.infer.output.predictions
    return expand_entries(output, get_plan(wildcards).entries, wildcards.study)


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


def get_page_key(wildcards):
    """As `get_key`."""
    return str(page_key(get_plan(wildcards)))


def get_figures(wildcards):
    """The pictures of a study."""
    plan = get_plan(wildcards)
    return [str(path) for name, figure in FIGURES.items() for path in figure.files(name, plan)]


def get_findings():
    """What was found in the chosen study, in sentences."""
    rows = read_leaderboard(Path(expand(rules.leaderboard.output.rows, study=settings.study)[0]))
    return findings(rows, StudyPlan(settings, settings.study).started_from)


def get_results(study):
    """Everything about a study that is made for its own sake."""
    plan = StudyPlan(settings, study)
    made = [rules.leaderboard, rules.diagnosis, rules.gallery, rules.page]
    return [
        *[path for rule in made for path in expand(rule.output, study=study)],
        *[
            path
            for name, run in plan.runs.items()
            for path in expand(rules.training_gallery.output, study=run.study, run=name)
        ],
        *[
            str(path.with_suffix(suffix))
            for name, figure in FIGURES.items()
            for path in figure.files(name, plan)
            for suffix in (path.suffix, ".pdf")
        ],
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
