rule grpo_data:
    input:
        unpack(get_grpo_data_input),
    output:
        samples="results/{study}/training/{run}/data.parquet",
        about="results/{study}/training/{run}/data.json",
    log:
        "logs/{study}/grpo_data/{run}.log",
    conda:
        "../envs/data.yaml"
    resources:
        gpu=0,
    params:
        code=code_fingerprint("data.slices"),
        draw=get_grpo_draw,
    shell:
        "active-perception grpo-data --dataset {input.dataset}"
        " --evaluation-slice {input.evaluation_slice} {params.draw} --output {output.samples} > {log} 2>&1"


# The longest way to the leaderboard leads through here, so it goes first. One thread: batches this
# small gain little from a second one, which inference of the other models can use meanwhile.
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
    resources:
        gpu=get_training_gpus,
    params:
        code=lambda wildcards: training_code(get_run(wildcards).engine),
        # With `input` as an argument, Snakemake does not rerun for it: it changes no result.
        sharing=lambda wildcards, input: gpu_sharing,
        depends_on=get_training_settings,
        # With `input` as an argument, Snakemake does not rerun for it: `depends_on` decides.
        settings=lambda wildcards, input: as_json(get_run(wildcards)),
        base=lambda wildcards, input: as_json(get_base(wildcards)),
        task=lambda wildcards, input: get_task(wildcards),
        weights=lambda wildcards: local_content(get_base(wildcards).id),
        output=lambda wildcards, output: Path(output.metrics).parent,
    shell:
        "active-perception train --run {wildcards.run} --settings {params.settings:q}"
        " --model {params.base:q} --task {params.task} --data {input} --output {params.output}"
        " --checkpoints results/.checkpoints --gpu {params.sharing:q} --granted {resources.gpu}"
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
        code=lambda wildcards: code_fingerprint(
            "train", package="recipes.tiny_zoom_vlm", source=SOURCE.parent
        ),
        pages=code_fingerprint("data.synthetic"),
    shell:
        "active-perception train-tiny --output {output} --checkpoints results/.checkpoints"
        " > {log} 2>&1"
