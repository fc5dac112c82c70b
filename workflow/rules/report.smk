"""Write the report.

INPUTS:  data/examples, data/shards, data/models, data/predictions, data/results
OUTPUTS: data/report
"""


rule render_report:
    input:
        lambda wildcards: flow.inputs("render_report", wildcards.job),
    output:
        "work/state/render_report/{job}.json",
    log:
        "logs/render_report/{job}.log",
    params:
        settings=flow.settings,
    message:
        "Write the report"
    shell:
        "python -m mtl render_report"
        " --settings {params.settings:q}"
        " --job {wildcards.job:q}"
        " 2>&1 | tee {log:q}"


rule report:
    input:
        lambda wildcards: flow.after("report") + flow.jobs("report"),
    output:
        "work/state/report.json",
        report(flow.published("report"), category="Report"),
    log:
        "logs/report.log",
    params:
        settings=flow.settings,
    message:
        "Publish the report to data/report"
    shell:
        "python -m mtl publish report"
        " --settings {params.settings:q}"
        " 2>&1 | tee {log:q}"
