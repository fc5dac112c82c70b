"""Train on all data, and let the new model replace the promoted one if no task falls; not a part of `all`.

INPUTS:  data/examples, data/models
OUTPUTS: data/promoted
"""


rule retrain:
    input:
        flow.after("evaluate"),
    log:
        "logs/retrain.log",
    resources:
        gpu=flow.gpus_of_run(),
    params:
        settings=flow.settings,
    message:
        "Compare the new model with the promoted one"
    shell:
        "python -m mtl promote {params.settings:q} 2>&1 | tee {log:q}"
