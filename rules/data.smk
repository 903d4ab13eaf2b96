rule download_dataset:
    input:
        get_dataset_file,
    output:
        rows="results/{study}/dataset/{split}.parquet",
        about="results/{study}/dataset/{split}.json",
    log:
        "logs/{study}/download_dataset/{split}.log",
    conda:
        "../envs/data.yaml"
    resources:
        gpu=0,
    params:
        code=get_download_code,
        settings=get_dataset_settings,
        content=get_dataset_content,
        partial=get_partial_dataset,
    shell:
        "active-perception download --dataset {params.settings:q} --split {wildcards.split}"
        " --output {output.rows} --partial {params.partial} > {log} 2>&1"


rule sample_slice:
    input:
        dataset=rules.download_dataset.output.rows,
        about=rules.download_dataset.output.about,
    output:
        slice="results/{study}/slice/{split}.parquet",
        about="results/{study}/slice/{split}.json",
    log:
        "logs/{study}/sample_slice/{split}.log",
    conda:
        "../envs/data.yaml"
    resources:
        gpu=0,
    params:
        code=code_fingerprint("data.slices"),
        settings=lambda wildcards: as_json(get_study(wildcards).slice),
    shell:
        "active-perception sample-slice --dataset {input.dataset} --slice {params.settings:q}"
        " --output {output.slice} > {log} 2>&1"
