"""Write the report.

INPUTS:  data/examples, data/shards, data/models, data/predictions, data/results
OUTPUTS: data/report
"""


rule render_report:
    input:
        flow.after("report"),
    output:
        "work/state/report/{job}.json",
    log:
        "logs/render_report/{job}.log",
    params:
        settings=flow.settings,
    shell:
        "python -m mtl render_report"
        " --settings {params.settings}"
        " --job {wildcards.job}"
        " 2>&1 | tee {log}"


rule report:
    input:
        flow.jobs("report"),
    output:
        "work/state/report.json",
    log:
        "logs/report.log",
    params:
        settings=flow.settings,
    shell:
        "python -m mtl publish report"
        " --settings {params.settings}"
        " 2>&1 | tee {log}"
