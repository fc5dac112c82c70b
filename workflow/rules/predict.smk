"""Predict the test rows with one trained model.

INPUTS:  data/examples, data/models
OUTPUTS: data/predictions
"""


rule predict_run:
    input:
        flow.after("predict"),
    output:
        "work/state/predict/{part}.json",
    log:
        "logs/predict_run/{part}.log",
    resources:
        gpu=flow.gpus_of_run(),
    params:
        settings=flow.settings,
    shell:
        "python -m mtl predict_run"
        " --settings {params.settings}"
        " --part {wildcards.part}"
        " 2>&1 | tee {log}"


rule predict:
    input:
        flow.parts("predict"),
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
