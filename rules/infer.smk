rule infer:
    input:
        slice=get_slice,
        checkpoint=get_checkpoint,
    output:
        predictions="results/{study}/predictions/{model}/{mode}.jsonl",
        about="results/{study}/predictions/{model}/{mode}.json",
    log:
        "logs/{study}/infer/{model}/{mode}.log",
    conda:
        get_infer_env
    resources:
        gpu=lambda wildcards: settings.model(wildcards.model).gpus,
    params:
        code=lambda wildcards: inference_code(settings.model(wildcards.model)),
        # With `input` as an argument, Snakemake does not rerun for it: it changes no result.
        sharing=lambda wildcards, input: gpu_sharing,
        depends_on=get_inference_settings,
        # As before; `depends_on` decides.
        settings=lambda wildcards, input: as_json(settings.model(wildcards.model)),
        task=lambda wildcards, input: get_task(wildcards),
        weights=get_weights,
        partial=get_partial,
        retry=get_retry,
    shell:
        "active-perception infer --slice {input.slice} --model {wildcards.model}"
        " --settings {params.settings:q} --mode {wildcards.mode} --task {params.task}"
        " --output {output.predictions}"
        " --partial {params.partial} --cores {threads}"
        " --gpu {params.sharing:q} --granted {resources.gpu} > {log} 2>&1"
