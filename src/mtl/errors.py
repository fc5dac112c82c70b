"""Every error that a user of the workflow can cause or mend.

MtlError                 caught once, at the edge of the command line: message on stderr, exit status 2
├── ParamsError          params.yaml is wrong; lists every fault
├── SourceError          a source cannot be fetched, or its sum differs
├── DataError            a file's content is wrong; names file and line
├── AugmentError         an augmenter broke a promise, or its engine is missing
├── EncoderError         an encoder cannot be found or loaded
├── TrainingError        training cannot go on (a full disk, ...)
│   └── UnfitError       ... with these settings: no other try would end better (a NaN loss, ...)
├── ModelError           a saved model is missing, damaged or of another version
└── PipelineError        a step's inputs are missing, or its record is damaged
"""

from collections.abc import Iterable
from typing import NamedTuple


class MtlError(Exception):
    """Base of all errors that are reported without a traceback."""


class Fault(NamedTuple):
    """One thing that is wrong in a settings file."""

    key: str  # dotted path, such as "train.learning_rate"
    message: str


class ParamsError(MtlError):
    """The settings are wrong; ``faults`` holds all of them."""

    def __init__(self, source: str, faults: Iterable[Fault]) -> None:
        self.source = source
        self.faults = list(faults)
        lines = [f"{source}: {len(self.faults)} fault(s)"]
        lines += [f"  {fault.key}: {fault.message}" for fault in self.faults]
        super().__init__("\n".join(lines))


class SourceError(MtlError):
    """A source cannot be fetched, is unsafe to open, or has another sum than stated."""


class DataError(MtlError):
    """A data file holds something that cannot be read as declared."""


class AugmentError(MtlError):
    """An augmenter broke its promise, or the engine it needs is not installed."""


class EncoderError(MtlError):
    """An encoder cannot be found or loaded."""


class TrainingError(MtlError):
    """Training cannot go on."""


class UnfitError(TrainingError):
    """Training cannot go on with these settings, however often it is tried: losses or gradients are not finite, say."""


class ModelError(MtlError):
    """A saved model is missing, damaged or of another version."""


class PipelineError(MtlError):
    """A step of the workflow lacks its inputs, or its record is damaged."""
