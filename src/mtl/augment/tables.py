"""The tables of methods that the settings name and the workflow downloads."""

from pathlib import Path

from mtl.augment.variants import Augmenter
from mtl.errors import AugmentError


def folder_of(augmenter: Augmenter) -> Path:
    """The folder of the table of a method's language.

    Raises:
        AugmentError: it was not downloaded.
    """
    tag, key = augmenter.language.tag, augmenter.spec.table_of(augmenter.language.tag)
    folder: Path | None = None if augmenter.models is None or key is None else augmenter.models / key
    if folder is None or not any(folder.rglob("*")):
        raise AugmentError(f"{augmenter.stream.method}: the table of {tag} is not in {folder}; run: snakemake download")
    return folder
