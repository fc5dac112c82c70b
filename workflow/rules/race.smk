"""A race between the groups and phases of the experiment, by validation rows, seed by seed; not a part of `all`.

INPUTS:  data/raw, data/examples, data/shards
OUTPUTS: data/race; the trained runs stay for the experiment
"""

import mtl.pipeline.race

race = mtl.pipeline.race.Race(flow.params)


rule race_run:
    input:
        # a run that it starts from takes part in the race
        lambda wildcards: flow.inputs("train_run", wildcards.job, without="train_run"),
        lambda wildcards: race.before(wildcards.job),
    output:
        race.work / "{seeds}/{job}.json",
    log:
        "logs/race_run/{seeds}/{job}.log",
    threads: 1
    resources:
        gpu=flow.gpus_of_run(),
    params:
        settings=flow.settings,
    message:
        "Race {wildcards.job}"
    shell:
        "python -m mtl race_run"
        " --settings {params.settings:q}"
        " --job {wildcards.job:q}"
        " 2>&1 | tee {log:q}"


rule race:
    input:
        lambda wildcards: race.results(),
    log:
        "logs/race.log",
    params:
        settings=flow.settings,
    message:
        "Write the outcome of the race to data/race"
    shell:
        "python -m mtl race" " --settings {params.settings:q}" " 2>&1 | tee {log:q}"
