from snakemake.utils import min_version

min_version("9.10")


report: "report/workflow.rst"


include: "rules/common.smk"
include: "rules/results.smk"
include: "rules/data.smk"
include: "rules/training.smk"
include: "rules/infer.smk"
include: "rules/scoring.smk"
include: "rules/report.smk"
include: "rules/provenance.smk"


rule all:
    default_target: True
    input:
        get_targets(),
