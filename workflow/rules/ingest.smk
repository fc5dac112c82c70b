"""Append the rows that people and programs left to the datasets that grow; not a part of `all`.

INPUTS:  the files that `incoming` of a dataset names
OUTPUTS: the dataset's source, and its checksum in params.yaml, which the next run reads
"""


rule ingest:
    log:
        "logs/ingest.log",
    params:
        file=flow.params_file,
    message:
        "Append new rows"
    shell:
        "python -m mtl ingest {params.file:q} 2>&1 | tee {log:q}"
