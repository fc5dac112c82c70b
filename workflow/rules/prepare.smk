"""Read, check and split each dataset, then check what concerns several: leakage between them, and the labels of each task.

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


rule check_examples:
    input:
        lambda wildcards: flow.inputs("check_examples", wildcards.job),
    output:
        "work/state/check_examples/{job}.json",
    log:
        "logs/check_examples/{job}.log",
    params:
        settings=flow.settings,
    message:
        "Check the examples of all datasets"
    shell:
        "python -m mtl check_examples"
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
