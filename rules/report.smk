rule learning_curve:
    input:
        rules.grpo_train.output.metrics,
    output:
        report(
            "results/{study}/report/learning_curve.{run}.svg",
            caption="../report/learning_curve.rst",
            category="Training",
            labels={"run": "{run}", "figure": "learning curve"},
        ),
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
        report(
            "results/{study}/report/accuracy.svg",
            caption="../report/accuracy.rst",
            category="Results",
            labels={"figure": "accuracy by mode"},
        ),
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
        report(
            "results/{study}/report/headroom.svg",
            caption="../report/headroom.rst",
            category="Results",
            labels={"figure": "headroom over first-view pixels"},
        ),
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
            labels={"figure": "trace gallery"},
        ),
    log:
        "logs/{study}/gallery.log",
    conda:
        "../envs/report.yaml"
    resources:
        gpu=0,
    params:
        # Prompts and rules of modes show in the predictions.
        code=code_fingerprint("report.gallery", without=("prompts",)),
        assets=folder_fingerprint(SOURCE / "active_perception_r1/report/gallery/assets"),
        models=get_study_models,
        predictions=get_prediction_arguments,
        reward=get_reward,
        task=get_task,
    shell:
        "active-perception gallery --study {wildcards.study} --slice {input.slice}"
        " --models {params.models:q} --predictions {params.predictions:q}"
        " --reward {params.reward:q} --task {params.task} --output {output} > {log} 2>&1"


rule reward_figure:
    input:
        rules.grpo_train.output.metrics,
    output:
        report(
            "results/{study}/report/reward.{run}.svg",
            caption="../report/reward.rst",
            category="Training",
            labels={"run": "{run}", "figure": "terms of the reward"},
        ),
    log:
        "logs/{study}/reward_figure/{run}.log",
    conda:
        "../envs/report.yaml"
    resources:
        gpu=0,
    params:
        code=code_fingerprint("report.reward_terms"),
    shell:
        "active-perception reward-figure --metrics {input} --output {output} > {log} 2>&1"


rule endings_figure:
    input:
        rules.leaderboard.output.rows,
    output:
        report(
            "results/{study}/report/endings.svg",
            caption="../report/endings.rst",
            category="Results",
            labels={"figure": "how episodes ended"},
        ),
    log:
        "logs/{study}/endings_figure.log",
    conda:
        "../envs/report.yaml"
    resources:
        gpu=0,
    params:
        code=code_fingerprint("report.termination_status"),
    shell:
        "active-perception endings-figure --leaderboard {input} --output {output} > {log} 2>&1"


rule leaderboard_page:
    input:
        rules.leaderboard.output.rows,
    output:
        report(
            "results/{study}/report/leaderboard.html",
            caption="../report/leaderboard.rst",
            category="Results",
            labels={"figure": "leaderboard"},
        ),
    log:
        "logs/{study}/leaderboard_page.log",
    conda:
        "../envs/report.yaml"
    resources:
        gpu=0,
    params:
        code=code_fingerprint("report.leaderboard_page"),
    shell:
        "active-perception leaderboard-page --leaderboard {input} --output {output} > {log} 2>&1"


rule zoom_map:
    input:
        predictions=get_active_predictions,
        slice=get_slice,
    output:
        report(
            "results/{study}/report/zoom_map.svg",
            caption="../report/zoom_map.rst",
            category="Results",
            labels={"figure": "where zooms land"},
        ),
    log:
        "logs/{study}/zoom_map.log",
    conda:
        "../envs/report.yaml"
    resources:
        gpu=0,
    params:
        code=code_fingerprint("report.zoom_map"),
        predictions=get_zoom_map_arguments,
    shell:
        "active-perception zoom-map --slice {input.slice} --predictions {params.predictions:q}"
        " --output {output} > {log} 2>&1"
