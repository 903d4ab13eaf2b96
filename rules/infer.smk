# One job for the whole slice, or, as the model's entry says, one for each part of it.
rule infer:
    input:
        slice=get_slice,
        earlier=get_earlier,
        checkpoint=get_checkpoint,
    output:
        predictions="results/{study}/predictions/{model}/{mode}.jsonl",
        about="results/{study}/predictions/{model}/{mode}.json",
    log:
        "logs/{study}/infer/{model}/{mode}.log",
    wildcard_constraints:
        model=get_models(sharded=False),
    conda:
        get_infer_env
    resources:
        settings=config_path,
        gpu=get_infer_gpus,
    params:
        key=get_key("infer"),
        partial=get_partial,
        retry=get_retry,
        earlier=get_earlier_option,
        shard="1-of-1",
    shell:
        "active-perception infer --config {resources.settings} --study {wildcards.study}"
        " --model {wildcards.model} --mode {wildcards.mode} --slice {input.slice} --output {output.predictions}"
        " {params.earlier} --partial {params.partial} --shard {params.shard} --cores {threads}"
        " --granted {resources.gpu} > {log} 2>&1"


use rule infer as infer_shard with:
    output:
        predictions="results/{study}/shards/{model}/{mode}.{shard}.jsonl",
        about="results/{study}/shards/{model}/{mode}.{shard}.json",
    log:
        "logs/{study}/infer/{model}/{mode}.{shard}.log",
    wildcard_constraints:
        model=get_models(sharded=True),
    params:
        key=get_key("infer_shard"),
        partial=get_partial,
        retry=get_retry,
        earlier=get_earlier_option,
        shard="{shard}",


rule join_shards:
    input:
        slice=get_slice,
        parts=get_shards,
    output:
        predictions=rules.infer.output.predictions,
        about=rules.infer.output.about,
    log:
        "logs/{study}/join_shards/{model}/{mode}.log",
    wildcard_constraints:
        model=get_models(sharded=True),
    conda:
        "../envs/scoring.yaml"
    resources:
        gpu=0,
    params:
        key=get_key("join_shards"),
    shell:
        "active-perception join --parts {input.parts} --slice {input.slice}"
        " --output {output.predictions} > {log} 2>&1"
