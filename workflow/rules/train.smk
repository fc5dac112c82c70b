"""Train one run of the experiment, joint or single-task, predict its test rows, and write the card of its model.

INPUTS:  data/raw, data/examples, data/shards
OUTPUTS: data/models, data/predictions
"""


rule train_run:
    input:
        lambda wildcards: flow.inputs("train_run", wildcards.job),
    output:
        "work/state/train_run/{job}.json",
    log:
        "logs/train_run/{job}.log",
    threads: 1
    resources:
        gpu=flow.gpus_of_run(),
        processes=1,
    params:
        settings=flow.settings,
        launcher=lambda wildcards, resources: flow.launcher(resources.processes),
    message:
        "Train {wildcards.job}"
    shell:
        "{params.launcher} -m mtl train_run"
        " --settings {params.settings:q}"
        " --job {wildcards.job:q}"
        " 2>&1 | tee {log:q}"


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


rule card_run:
    input:
        lambda wildcards: flow.inputs("card_run", wildcards.job),
    output:
        "work/state/card_run/{job}.json",
    log:
        "logs/card_run/{job}.log",
    params:
        settings=flow.settings,
    message:
        "Write the model card of {wildcards.job}"
    shell:
        "python -m mtl card_run"
        " --settings {params.settings:q}"
        " --job {wildcards.job:q}"
        " 2>&1 | tee {log:q}"


rule train:
    input:
        lambda wildcards: flow.after("train") + flow.jobs("train"),
    output:
        "work/state/train.json",
        flow.published("train"),
    log:
        "logs/train.log",
    params:
        settings=flow.settings,
    message:
        "Publish the models to data/models and their predictions to data/predictions"
    shell:
        "python -m mtl publish train"
        " --settings {params.settings:q}"
        " 2>&1 | tee {log:q}"
