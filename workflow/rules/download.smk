"""Fetch the sources of a data set or an encoder and check their sums.

INPUTS:  the sources named in params.yaml
OUTPUTS: data/raw
"""


rule download_source:
    output:
        "work/state/download/{part}.json",
    log:
        "logs/download_source/{part}.log",
    params:
        settings=flow.settings,
    shell:
        "python -m mtl download_source"
        " --settings {params.settings}"
        " --part {wildcards.part}"
        " 2>&1 | tee {log}"


rule download:
    input:
        flow.parts("download"),
    output:
        "work/state/download.json",
    log:
        "logs/download.log",
    params:
        settings=flow.settings,
    shell:
        "python -m mtl publish download"
        " --settings {params.settings}"
        " 2>&1 | tee {log}"
