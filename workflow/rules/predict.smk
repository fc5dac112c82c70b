"""Predict the test rows with one trained model.

INPUTS:  data/examples, data/models
OUTPUTS: data/predictions
"""


rule predict_run:
    input:
        flow.after("predict"),
    output:
        "work/state/predict/{job}.json",
    log:
        "logs/predict_run/{job}.log",
    resources:
        gpu=flow.gpus_of_run(),
    params:
        settings=flow.settings,
    shell:
        "python -m mtl predict_run"
        " --settings {params.settings}"
        " --job {wildcards.job}"
        " 2>&1 | tee {log}"


rule predict:
    input:
        flow.jobs("predict"),
    output:
        "work/state/predict.json",
    log:
        "logs/predict.log",
    params:
        settings=flow.settings,
    shell:
        "python -m mtl publish predict"
        " --settings {params.settings}"
        " 2>&1 | tee {log}"
