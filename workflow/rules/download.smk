"""Fetch the sources of a dataset or an encoder and check their checksums.

INPUTS:  the sources named in params.yaml
OUTPUTS: data/raw
"""


rule download_source:
    output:
        "work/state/download/{job}.json",
    log:
        "logs/download_source/{job}.log",
    params:
        settings=flow.settings,
    shell:
        "python -m mtl download_source"
        " --settings {params.settings}"
        " --job {wildcards.job}"
        " 2>&1 | tee {log}"


rule download:
    input:
        flow.jobs("download"),
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
