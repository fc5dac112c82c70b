"""Read, check and split one dataset.

INPUTS:  data/raw
OUTPUTS: data/examples
"""


rule prepare_dataset:
    input:
        lambda wildcards: flow.inputs("prepare_dataset", wildcards.job),
    output:
        "work/state/prepare_dataset/{job}.json",
    log:
        "logs/prepare_dataset/{job}.log",
    params:
        settings=flow.settings,
    message:
        "Prepare {wildcards.job}"
    shell:
        "python -m mtl prepare_dataset"
        " --settings {params.settings:q}"
        " --job {wildcards.job:q}"
        " 2>&1 | tee {log:q}"


rule prepare:
    input:
        lambda wildcards: flow.after("prepare") + flow.jobs("prepare"),
    output:
        "work/state/prepare.json",
        flow.published("prepare"),
    log:
        "logs/prepare.log",
    params:
        settings=flow.settings,
    message:
        "Publish the examples to data/examples"
    shell:
        "python -m mtl publish prepare"
        " --settings {params.settings:q}"
        " 2>&1 | tee {log:q}"
