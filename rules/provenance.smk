# What it says of the configuration it reads itself: a setting that changes no result, such as the
# size of batches, is written down, but does not make a manifest anew.
rule manifest:
    input:
        get_study_files,
    output:
        "results/{study}/manifest.json",
    log:
        "logs/{study}/manifest.log",
    conda:
        "../envs/report.yaml"
    resources:
        settings=config_path,
        gpu=0,
    params:
        key=get_manifest_key,
        models=get_model_folders,
    shell:
        "active-perception manifest --config {resources.settings} --study {wildcards.study}"
        " --files {input} {params.models:q} --records .snakemake/metadata --output {output} > {log} 2>&1"


# A target to name: it writes nothing when the same results are pinned already.
rule pin:
    input:
        expand(rules.manifest.output, study=settings.study),
    log:
        f"logs/{settings.study}/pin.log",
    conda:
        "../envs/report.yaml"
    resources:
        gpu=0,
    params:
        results=lambda wildcards, input: Path(input[0]).parent,
        workflow=str(checkout),
    shell:
        "active-perception pin --results {params.results} --workflow {params.workflow:q}"
        " --output results/pinned 2>&1 | tee {log}"
