"""Every error that a user of the workflow can cause or mend.

MtlError                 caught once, at the edge of the command line: message on stderr, exit status 2
├── ParamsError          params.yaml is wrong; lists every issue
├── PluginError          a task type, augmenter or encoder of an outside package cannot be imported
├── StorageError         a file cannot be written: the disk is full, or read-only
├── SourceError          a source cannot be fetched, or its checksum differs
├── DataError            a file's content is wrong; names file and line
├── AugmentError         an augmenter broke an invariant, or its engine is missing
├── EncoderError         an encoder cannot be found or loaded
├── TrainingError        training cannot go on (a full disk, ...)
│   └── UnfitError       ... with these settings: no other try would end better (a NaN loss, ...)
├── ModelError           a saved model is missing, damaged or of another version
├── InputError           texts to predict are not a list of texts; a TypeError too
├── ServingError         the service cannot start
├── ExportError          a model cannot be written in that form
└── PipelineError        a step's inputs are missing, or its record is damaged
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from mtl.words import plural


class MtlError(Exception):
    """Base of all errors that are reported without a traceback."""


class Issue(NamedTuple):
    """One thing that is wrong in a settings file."""

    key: str  # dotted path, such as "train.learning_rate"
    message: str


class ParamsError(MtlError):
    """The settings are wrong; ``issues`` holds all of them."""

    def __init__(self, source: str, issues: Iterable[Issue]) -> None:
        self.source = source
        self.issues = list(issues)
        lines = [f"{source}: {plural(len(self.issues), 'issue')}"]
        lines += [f"  {issue.key}: {issue.message}" for issue in self.issues]
        super().__init__("\n".join(lines))


class PluginError(MtlError):
    """A task type, label type, augmenter or encoder of an outside package cannot be imported."""


class StorageError(MtlError):
    """A file cannot be written: the disk is full, or read-only."""


class SourceError(MtlError):
    """A source cannot be fetched, is unsafe to open, or has another checksum than stated."""


class DataError(MtlError):
    """A data file holds something that cannot be read as declared."""


class AugmentError(MtlError):
    """An augmenter broke an invariant, or the engine it needs is not installed."""


class EncoderError(MtlError):
    """An encoder cannot be found or loaded."""


class TrainingError(MtlError):
    """Training cannot go on."""


class UnfitError(TrainingError):
    """Training cannot go on with these settings, however often it is tried: losses or gradients are not finite, say."""


class ModelError(MtlError):
    """A saved model is missing, damaged or of another version."""


class InputError(MtlError, TypeError):
    """The input of a prediction is not a list of texts, or of rows of tokens."""


class ServingError(MtlError):
    """The HTTP service cannot start: its address, token or file for corrections is not usable."""


class ExportError(MtlError):
    """A model cannot be exported: the form lacks something that it has, or the folder exists."""


class PipelineError(MtlError):
    """A step of the workflow lacks its inputs, or its record is damaged."""


def printable(text: str) -> str:
    """A text for a terminal, in which a row of data cannot send it commands."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else repr(sign)[1:-1] for sign in text)


LONGEST_REASON = 300  # characters


@contextmanager
def one_line(error: type[MtlError], what: str) -> Iterator[None]:
    """Turn whatever a library raises while it reads files from outside into one line: ``what: reason``.

    A panic in Rust is not an ``Exception``.
    """
    try:
        yield
    except (MtlError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as raised:
        reason = " ".join(str(raised).split()) or type(raised).__name__
        raise error(f"{what}: {reason if len(reason) <= LONGEST_REASON else reason[:LONGEST_REASON] + ' …'}") from None
