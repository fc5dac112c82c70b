"""Score and compare all runs.

INPUTS:  data/models, data/predictions
OUTPUTS: data/results
"""


rule evaluate_runs:
    input:
        lambda wildcards: flow.inputs("evaluate_runs", wildcards.job),
    output:
        "work/state/evaluate_runs/{job}.json",
    log:
        "logs/evaluate_runs/{job}.log",
    params:
        settings=flow.settings,
    message:
        "Score and compare all runs"
    shell:
        "python -m mtl evaluate_runs"
        " --settings {params.settings:q}"
        " --job {wildcards.job:q}"
        " 2>&1 | tee {log:q}"


rule evaluate:
    input:
        lambda wildcards: flow.after("evaluate") + flow.jobs("evaluate"),
    output:
        "work/state/evaluate.json",
        flow.published("evaluate"),
    log:
        "logs/evaluate.log",
    params:
        settings=flow.settings,
    message:
        "Publish the results to data/results"
    shell:
        "python -m mtl publish evaluate"
        " --settings {params.settings:q}"
        " 2>&1 | tee {log:q}"
