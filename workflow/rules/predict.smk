"""Predict the test rows with one trained model.

INPUTS:  data/examples, data/models
OUTPUTS: data/predictions
"""


rule predict_run:
    input:
        lambda wildcards: flow.inputs("predict_run", wildcards.job),
    output:
        "work/state/predict_run/{job}.json",
    log:
        "logs/predict_run/{job}.log",
    resources:
        gpu=flow.gpus_of_run(),
    params:
        settings=flow.settings,
    message:
        "Predict the test rows with {wildcards.job}"
    shell:
        "python -m mtl predict_run"
        " --settings {params.settings:q}"
        " --job {wildcards.job:q}"
        " 2>&1 | tee {log:q}"


rule predict:
    input:
        lambda wildcards: flow.after("predict") + flow.jobs("predict"),
    output:
        "work/state/predict.json",
        flow.published("predict"),
    log:
        "logs/predict.log",
    params:
        settings=flow.settings,
    message:
        "Publish the predictions to data/predictions"
    shell:
        "python -m mtl publish predict"
        " --settings {params.settings:q}"
        " 2>&1 | tee {log:q}"
