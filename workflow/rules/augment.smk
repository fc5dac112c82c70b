"""Augment one shard of a train split.

INPUTS:  data/raw, data/examples
OUTPUTS: data/shards
"""


rule augment_shard:
    input:
        lambda wildcards: flow.inputs("augment_shard", wildcards.job),
    output:
        "work/state/augment_shard/{job}.json",
    log:
        "logs/augment_shard/{job}.log",
    params:
        settings=flow.settings,
    message:
        "Augment {wildcards.job}"
    shell:
        "python -m mtl augment_shard"
        " --settings {params.settings:q}"
        " --job {wildcards.job:q}"
        " 2>&1 | tee {log:q}"


rule augment:
    input:
        lambda wildcards: flow.after("augment") + flow.jobs("augment"),
    output:
        "work/state/augment.json",
        flow.published("augment"),
    log:
        "logs/augment.log",
    params:
        settings=flow.settings,
    message:
        "Publish the shards to data/shards"
    shell:
        "python -m mtl publish augment"
        " --settings {params.settings:q}"
        " 2>&1 | tee {log:q}"
