"""Read, check and split one dataset.

INPUTS:  data/raw
OUTPUTS: data/examples
"""


rule prepare_dataset:
    input:
        flow.after("prepare"),
    output:
        "work/state/prepare/{job}.json",
    log:
        "logs/prepare_dataset/{job}.log",
    params:
        settings=flow.settings,
    shell:
        "python -m mtl prepare_dataset"
        " --settings {params.settings}"
        " --job {wildcards.job}"
        " 2>&1 | tee {log}"


rule prepare:
    input:
        flow.jobs("prepare"),
    output:
        "work/state/prepare.json",
    log:
        "logs/prepare.log",
    params:
        settings=flow.settings,
    shell:
        "python -m mtl publish prepare"
        " --settings {params.settings}"
        " 2>&1 | tee {log}"
