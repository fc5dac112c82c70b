"""Train one run of the experiment, joint or one task alone.

INPUTS:  data/raw, data/examples, data/shards
OUTPUTS: data/models
"""


rule train_run:
    input:
        flow.after("train"),
    output:
        "work/state/train/{job}.json",
    log:
        "logs/train_run/{job}.log",
    threads: 1
    resources:
        gpu=flow.gpus_of_run(),
        processes=1,
    params:
        settings=flow.settings,
        launcher=lambda wildcards, resources: flow.launcher(resources.processes),
    shell:
        "{params.launcher} -m mtl train_run"
        " --settings {params.settings}"
        " --job {wildcards.job}"
        " 2>&1 | tee {log}"


rule train:
    input:
        flow.jobs("train"),
    output:
        "work/state/train.json",
    log:
        "logs/train.log",
    params:
        settings=flow.settings,
    shell:
        "python -m mtl publish train"
        " --settings {params.settings}"
        " 2>&1 | tee {log}"
