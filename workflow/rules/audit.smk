"""Search for wrong labels among the train rows, as the section audit of params.yaml says; not a part of `all`.

INPUTS:  data/raw, data/examples (without the test rows)
OUTPUTS: data/audit
"""

import mtl.pipeline.audit

audit = mtl.pipeline.audit.LabelAudit(flow.params)


rule audit_fold:
    input:
        flow.after("augment"),
    output:
        audit.fold("{number}"),
    log:
        "logs/audit_fold/{number}.log",
    resources:
        gpu=flow.gpus_of_run(),
    params:
        settings=flow.settings,
    message:
        "Judge the labels of fold {wildcards.number}"
    shell:
        "python -m mtl audit_fold"
        " --settings {params.settings:q}"
        " --number {wildcards.number:q}"
        " 2>&1 | tee {log:q}"


rule audit:
    input:
        audit.folds(),
    log:
        "logs/audit.log",
    params:
        settings=flow.settings,
    message:
        "Write the likely wrong labels to data/audit"
    shell:
        "python -m mtl audit" " --settings {params.settings:q}" " 2>&1 | tee {log:q}"
