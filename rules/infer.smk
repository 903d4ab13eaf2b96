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
    conda:
        get_infer_env
    resources:
        settings=config_path,
        gpu=get_infer_gpus,
    params:
        key=get_key("infer"),
        partial=get_partial,
        retry=get_retry,
        earlier=lambda wildcards, input: [f"--earlier {file}" for file in input.earlier],
    shell:
        "active-perception infer --config {resources.settings} --study {wildcards.study}"
        " --model {wildcards.model} --mode {wildcards.mode} --slice {input.slice} --output {output.predictions}"
        " {params.earlier} --partial {params.partial} --cores {threads} --granted {resources.gpu} > {log} 2>&1"
