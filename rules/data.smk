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
        settings=config_path,
        gpu=0,
    params:
        key=get_key("download_dataset"),
        partial=get_partial_dataset,
    shell:
        "active-perception download --config {resources.settings} --study {wildcards.study}"
        " --split {wildcards.split} --output {output.rows} --partial {params.partial}"
        " > {log} 2>&1"


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
        settings=config_path,
        gpu=0,
    params:
        key=get_key("sample_slice"),
    shell:
        "active-perception sample-slice --config {resources.settings} --study {wildcards.study}"
        " --dataset {input.dataset} --output {output.slice} > {log} 2>&1"
