rule infer:
    input:
        slice=get_slice,
        checkpoint=get_checkpoint,
    output:
        predictions="results/{study}/predictions/{model}/{mode}.jsonl",
    log:
        "logs/{study}/infer/{model}/{mode}.log",
    conda:
        "../envs/models.yaml"
    resources:
        gpu=lambda wildcards: settings.model(wildcards.model).gpus,
    params:
        code=code_fingerprint("models.infer"),
        settings=lambda wildcards: as_json(settings.model(wildcards.model)),
        weights=get_weights,
        partial=get_partial,
        retry=get_retry,
    shell:
        "active-perception infer --slice {input.slice} --model {wildcards.model}"
        " --settings {params.settings:q} --mode {wildcards.mode} --output {output.predictions}"
        " --partial {params.partial}"
        " --gpu {gpu_sharing:q} --granted {resources.gpu} > {log} 2>&1"
