# The longest way to the leaderboard leads through these two, so they go first, the shorter before.
rule grpo_data:
    input:
        unpack(get_grpo_data_input),
    output:
        samples="results/{study}/training/{run}/data.parquet",
        about="results/{study}/training/{run}/data.json",
    log:
        "logs/{study}/grpo_data/{run}.log",
    priority: 2
    conda:
        "../envs/data.yaml"
    resources:
        settings=config_path,
        gpu=0,
    params:
        key=get_key("grpo_data"),
    shell:
        "active-perception grpo-data --config {resources.settings} --run {wildcards.run}"
        " --dataset {input.dataset} --evaluation-slice {input.evaluation_slice}"
        " --output {output.samples} > {log} 2>&1"


rule grpo_train:
    input:
        rules.grpo_data.output.samples,
    output:
        metrics="results/{study}/training/{run}/metrics.jsonl",
        checkpoint=directory("results/{study}/training/{run}/checkpoint"),
        about="results/{study}/training/{run}/checkpoint.json",
    log:
        "logs/{study}/grpo_train/{run}.log",
    priority: 1
    conda:
        get_training_environment
    threads: get_training_cores
    resources:
        settings=config_path,
        gpu=get_training_gpus,
    params:
        key=get_key("grpo_train"),
        output=lambda wildcards, output: Path(output.metrics).parent,
    shell:
        "active-perception train --config {resources.settings} --run {wildcards.run} --data {input}"
        " --output {params.output} --checkpoints results/.checkpoints --granted {resources.gpu}"
        " > {log} 2>&1"


# Not part of any study: makes anew what the repository ships as models/tiny-zoom-vlm.
rule train_tiny:
    output:
        directory("results/tiny-zoom-vlm"),
    log:
        "logs/train_tiny.log",
    conda:
        "../envs/models.yaml"
    threads: 2
    resources:
        gpu=0,
    params:
        key=recipe_key(checkout / "recipes/tiny_zoom_vlm"),
    shell:
        "active-perception train-tiny --output {output} --checkpoints results/.checkpoints"
        " > {log} 2>&1"
