"""Fetch the sources of a dataset or an encoder and verify their checksums.

INPUTS:  the sources named in params.yaml
OUTPUTS: data/raw
"""


rule download_source:
    output:
        "work/state/download_source/{job}.json",
    log:
        "logs/download_source/{job}.log",
    params:
        settings=flow.settings,
    message:
        "Download {wildcards.job}"
    shell:
        "python -m mtl download_source"
        " --settings {params.settings:q}"
        " --job {wildcards.job:q}"
        " 2>&1 | tee {log:q}"


rule download:
    input:
        lambda wildcards: flow.after("download") + flow.jobs("download"),
    output:
        "work/state/download.json",
        flow.published("download"),
    log:
        "logs/download.log",
    params:
        settings=flow.settings,
    message:
        "Publish the downloads to data/raw"
    shell:
        "python -m mtl publish download"
        " --settings {params.settings:q}"
        " 2>&1 | tee {log:q}"
