rule learning_curve:
    input:
        rules.grpo_train.output.metrics,
    output:
        "results/{study}/report/learning_curve.{run}.svg",
    log:
        "logs/{study}/learning_curve/{run}.log",
    conda:
        "../envs/report.yaml"
    resources:
        gpu=0,
    params:
        code=code_fingerprint("report.learning_curve"),
    shell:
        "active-perception learning-curve --metrics {input} --output {output} > {log} 2>&1"


rule accuracy_figure:
    input:
        rules.leaderboard.output.rows,
    output:
        "results/{study}/report/accuracy.svg",
    log:
        "logs/{study}/accuracy_figure.log",
    conda:
        "../envs/report.yaml"
    resources:
        gpu=0,
    params:
        code=code_fingerprint("report.accuracy"),
    shell:
        "active-perception accuracy-figure --leaderboard {input} --output {output} > {log} 2>&1"


rule headroom_figure:
    input:
        rules.leaderboard.output.rows,
    output:
        "results/{study}/report/headroom.svg",
    log:
        "logs/{study}/headroom_figure.log",
    conda:
        "../envs/report.yaml"
    resources:
        gpu=0,
    params:
        code=code_fingerprint("report.headroom"),
    shell:
        "active-perception headroom-figure --leaderboard {input} --output {output} > {log} 2>&1"


rule gallery:
    input:
        predictions=get_predictions,
        slice=get_slice,
    output:
        report(
            "results/{study}/report/gallery.html",
            caption="../report/gallery.rst",
            category="Traces",
        ),
    log:
        "logs/{study}/gallery.log",
    conda:
        "../envs/report.yaml"
    resources:
        gpu=0,
    params:
        code=code_fingerprint("report.gallery", without=("prompts",)),
        assets=folder_fingerprint(SOURCE / "active_perception_r1/report/gallery/assets"),
        models=get_study_models,
        predictions=get_prediction_arguments,
        reward=get_reward,
    shell:
        "active-perception gallery --study {wildcards.study} --slice {input.slice}"
        " --models {params.models:q} --predictions {params.predictions:q}"
        " --reward {params.reward:q} --output {output} > {log} 2>&1"
