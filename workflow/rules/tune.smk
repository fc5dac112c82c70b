"""Search for better settings, as the section tune of params.yaml says; not a part of `all`.

INPUTS:  data/raw, data/examples (of which no trial sees the test rows)
OUTPUTS: data/tune
"""

import mtl.pipeline.search

search = mtl.pipeline.search.Search(flow.params)


rule tune_trial:
    input:
        flow.after("augment"),
        lambda wildcards: search.before(wildcards.number),
    output:
        search.trial("{number}"),
    log:
        "logs/tune_trial/{number}.log",
    threads: 1
    resources:
        gpu=flow.gpus_of_run(),
    params:
        settings=flow.settings,
        workers=1 if flow.gpus_of_run() else workflow.cores,
    message:
        "Run trial {wildcards.number} of the search"
    shell:
        "python -m mtl tune_trial"
        " --settings {params.settings:q}"
        " --number {wildcards.number:q}"
        " --workers {params.workers:q}"
        " 2>&1 | tee {log:q}"


rule tune:
    input:
        lambda wildcards: search.trials(),
    log:
        "logs/tune.log",
    params:
        settings=flow.settings,
    message:
        "Write the results of the search to data/tune"
    shell:
        "python -m mtl tune" " --settings {params.settings:q}" " 2>&1 | tee {log:q}"
