"""Label types: each is one module with its settings, its Arrow type, how a label is read from a row, checked and summarised."""

from typing import Any

from mtl import plugins
from mtl.data.labels.base import LabelType


def label_type(name: str) -> type[LabelType]:
    """The class of a label type.

    Raises:
        KeyError: the type does not exist.
    """
    implementation: type[LabelType] = plugins.implementation_of(plugins.settings_of(plugins.LABELS, name))
    return implementation


def reader_of(settings: Any) -> LabelType:
    """The reader of labels with these settings."""
    reader: LabelType = plugins.implementation_of(settings)(settings)
    return reader


__all__ = ["LabelType", "label_type", "reader_of"]
