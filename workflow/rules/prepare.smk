"""Read, check and split one data set.

INPUTS:  data/raw
OUTPUTS: data/examples
"""


rule prepare_dataset:
    input:
        flow.after("prepare"),
    output:
        "work/state/prepare/{part}.json",
    log:
        "logs/prepare_dataset/{part}.log",
    params:
        settings=flow.settings,
    shell:
        "python -m mtl prepare_dataset"
        " --settings {params.settings}"
        " --part {wildcards.part}"
        " 2>&1 | tee {log}"


rule prepare:
    input:
        flow.parts("prepare"),
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
