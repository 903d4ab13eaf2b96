# The metrics are found by their names, so the code of scoring does not show them.
metrics_code = [code_fingerprint(f"scoring.metrics.{name}") for name in METRICS]


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
        gpu=0,
    params:
        code=[code_fingerprint("scoring.score"), *metrics_code],
        reward=get_reward,
        task=get_task,
        max_error_share=lambda wildcards: get_study(wildcards).max_error_share,
    shell:
        "active-perception score --predictions {input.predictions} --slice {input.slice}"
        " --task {params.task} --reward {params.reward:q}"
        " --max-error-share {params.max_error_share} --output {output} > {log} 2>&1"


rule leaderboard:
    input:
        get_scores,
    output:
        rows="results/{study}/leaderboard.json",
        table="results/{study}/leaderboard.csv",
        page="results/{study}/leaderboard.md",
    log:
        "logs/{study}/leaderboard.log",
    conda:
        "../envs/scoring.yaml"
    resources:
        gpu=0,
    params:
        code=[code_fingerprint("scoring.leaderboard"), *metrics_code],
        scores=get_score_arguments,
        started_from=get_started_from,
        repeats=get_repeats,
    shell:
        "active-perception leaderboard --study {wildcards.study} --scores {params.scores:q}"
        " --started-from {params.started_from:q} --repeats {params.repeats:q}"
        " --output results/{wildcards.study} > {log} 2>&1"


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
        gpu=0,
    params:
        code=code_fingerprint("scoring.diagnosis"),
        scores=get_score_arguments,
        views=get_views,
    shell:
        "active-perception diagnose --study {wildcards.study} --scores {params.scores:q}"
        " --views {params.views:q} --output results/{wildcards.study} > {log} 2>&1"
