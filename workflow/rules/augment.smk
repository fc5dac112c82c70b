"""Augment one shard of a train split.

INPUTS:  data/raw, data/examples
OUTPUTS: data/shards
"""


rule augment_shard:
    input:
        flow.after("augment"),
    output:
        "work/state/augment/{job}.json",
    log:
        "logs/augment_shard/{job}.log",
    params:
        settings=flow.settings,
    shell:
        "python -m mtl augment_shard"
        " --settings {params.settings}"
        " --job {wildcards.job}"
        " 2>&1 | tee {log}"


rule augment:
    input:
        flow.jobs("augment"),
    output:
        "work/state/augment.json",
    log:
        "logs/augment.log",
    params:
        settings=flow.settings,
    shell:
        "python -m mtl publish augment"
        " --settings {params.settings}"
        " 2>&1 | tee {log}"
