"""Score and compare all runs.

INPUTS:  data/models, data/predictions
OUTPUTS: data/results
"""


rule evaluate_runs:
    input:
        flow.after("evaluate"),
    output:
        "work/state/evaluate/{part}.json",
    log:
        "logs/evaluate_runs/{part}.log",
    params:
        settings=flow.settings,
    shell:
        "python -m mtl evaluate_runs"
        " --settings {params.settings}"
        " --part {wildcards.part}"
        " 2>&1 | tee {log}"


rule evaluate:
    input:
        flow.parts("evaluate"),
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
