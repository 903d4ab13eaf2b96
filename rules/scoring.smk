rule score:
    input:
        predictions=rules.infer.output.predictions,
        slice=get_slice,
    output:
        "results/{study}/scores/{model}/{mode}.parquet",
    log:
        "logs/{study}/score/{model}/{mode}.log",
    conda:
        "../envs/scoring.yaml"
    resources:
        settings=config_path,
        gpu=0,
    params:
        key=get_key("score"),
    shell:
        "active-perception score --config {resources.settings} --study {wildcards.study}"
        " --predictions {input.predictions} --slice {input.slice} --output {output} > {log} 2>&1"


rule leaderboard:
    input:
        get_scores,
    output:
        rows="results/{study}/leaderboard.json",
        table="results/{study}/leaderboard.csv",
        page="results/{study}/leaderboard.md",
        latex="results/{study}/leaderboard.tex",
    log:
        "logs/{study}/leaderboard.log",
    conda:
        "../envs/scoring.yaml"
    resources:
        settings=config_path,
        gpu=0,
    params:
        key=get_key("leaderboard"),
    shell:
        "active-perception leaderboard --config {resources.settings} --study {wildcards.study}"
        " --scores {input} --output results/{wildcards.study} > {log} 2>&1"


rule diagnosis:
    input:
        get_scores,
    output:
        rows="results/{study}/diagnosis.json",
        page="results/{study}/diagnosis.md",
    log:
        "logs/{study}/diagnosis.log",
    conda:
        "../envs/scoring.yaml"
    resources:
        settings=config_path,
        gpu=0,
    params:
        key=get_key("diagnosis"),
    shell:
        "active-perception diagnose --config {resources.settings} --study {wildcards.study}"
        " --scores {input} --output results/{wildcards.study} > {log} 2>&1"
