# One rule for each figure: its module says what it is drawn from, and when a study has it.
for name, figure in FIGURES.items():

    rule:
        name:
            f"draw_{name}"
        input:
            unpack(get_figure_input(figure)),
        output:
            report(
                f"results/{{study}}/report/{figure.file_name(name)}",
                caption=f"../report/{name}.rst",
                category=figure.category,
                labels=figure.labels,
            ),
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
            " --study {wildcards.study} {params.files:q} --output {output} > {log} 2>&1"
