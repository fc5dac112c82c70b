"""Score and compare all runs.

INPUTS:  data/models, data/predictions
OUTPUTS: data/results
"""


rule evaluate_runs:
    input:
        flow.after("evaluate"),
    output:
        "work/state/evaluate/{job}.json",
    log:
        "logs/evaluate_runs/{job}.log",
    params:
        settings=flow.settings,
    shell:
        "python -m mtl evaluate_runs"
        " --settings {params.settings}"
        " --job {wildcards.job}"
        " 2>&1 | tee {log}"


rule evaluate:
    input:
        flow.jobs("evaluate"),
    output:
        "work/state/evaluate.json",
    log:
        "logs/evaluate.log",
    params:
        settings=flow.settings,
    shell:
        "python -m mtl publish evaluate"
        " --settings {params.settings}"
        " 2>&1 | tee {log}"
