rule gallery:
    input:
        slice=get_slice,
        predictions=get_predictions,
    output:
        directory("results/{study}/report/gallery"),
    log:
        "logs/{study}/report/gallery.log",
    conda:
        "../envs/report.yaml"
    resources:
        settings=config_path,
        gpu=0,
    params:
        key=get_key("gallery"),
    shell:
        "active-perception gallery --config {resources.settings} --study {wildcards.study}"
        " --slice {input.slice} --predictions {input.predictions} --output {output} > {log} 2>&1"


# The episodes are no input: they are kept to be looked at, and a run without them is as good.
rule training_gallery:
    input:
        metrics=rules.grpo_train.output.metrics,
        data=rules.grpo_data.output.samples,
    output:
        directory("results/{study}/report/gallery.{run}"),
    log:
        "logs/{study}/report/gallery.{run}.log",
    conda:
        "../envs/report.yaml"
    resources:
        settings=config_path,
        gpu=0,
    params:
        key=get_key("training_gallery"),
        rollouts=lambda wildcards, input: Path(input.metrics).with_name("rollouts.jsonl.gz"),
    shell:
        "active-perception training-gallery --config {resources.settings} --run {wildcards.run}"
        " --rollouts {params.rollouts} --data {input.data} --output {output} > {log} 2>&1"


# One rule for each figure: its module says what it is drawn from, and when a study has it.
for name, figure in FIGURES.items():

    rule:
        name:
            f"draw_{name}"
        input:
            unpack(get_figure_input(figure)),
        output:
            picture=report(
                f"results/{{study}}/report/{figure.file_name(name)}",
                caption=f"../report/{name}.rst",
                category=figure.category,
                labels=figure.labels,
            ),
            paper=f"results/{{study}}/report/{Path(figure.file_name(name)).with_suffix('.pdf')}",
        log:
            f"logs/{{study}}/report/{figure.file_name(name)}.log",
        conda:
            "../envs/report.yaml"
        resources:
            settings=config_path,
            gpu=0,
        params:
            # In `shell` it would be the last of the loop: that is read when the job runs.
            figure=name,
            key=get_figure_key(name, figure),
            files=get_figure_files,
        shell:
            "active-perception figure {params.figure} --config {resources.settings}"
            " --study {wildcards.study} {params.files:q} --output {output.picture} > {log} 2>&1"


rule page:
    input:
        leaderboard=rules.leaderboard.output.rows,
        diagnosis=rules.diagnosis.output.rows,
        figures=get_figures,
    output:
        report(
            "results/{study}/report/index.html",
            caption="../report/page.rst",
            category="Findings",
            labels={"page": "study {study}"},
        ),
    log:
        "logs/{study}/report/page.log",
    conda:
        "../envs/report.yaml"
    resources:
        settings=config_path,
        gpu=0,
    params:
        key=get_page_key,
    shell:
        "active-perception page --config {resources.settings} --study {wildcards.study}"
        " --leaderboard {input.leaderboard} --diagnosis {input.diagnosis}"
        " --figures {input.figures:q} --output {output} > {log} 2>&1"


# For report/workflow.rst, to which Snakemake gives nothing but the configuration.
config["findings"] = get_findings
