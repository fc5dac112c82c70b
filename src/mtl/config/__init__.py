"""The settings: ``params.yaml`` as typed, frozen models, a module per section.

The models are the schema. ``load`` reads a file and reports every issue at once; ``json_schema`` is what editors use. Nothing here imports
torch: the Snakefile loads this package each time it is parsed.
"""

from mtl.config import checks, space
from mtl.config.audit import Audit
from mtl.config.augment import (
    Augment,
    AugmentMethod,
    BackTranslate,
    Delete,
    Feature,
    InsertPunctuation,
    LabelTokenReplace,
    MentionReplace,
    Method,
    Nlpaug,
    RelationChanging,
    ShuffleWithinSegments,
    Swap,
    Synonym,
    Typo,
)
from mtl.config.base import SPLITS, Count, Layers, Name, Positive, Rate, Section, Share, Source, Split, is_pattern
from mtl.config.datasets import (
    TEXT,
    ConllReader,
    Dataset,
    DelimitedReader,
    DialogueReader,
    Fractions,
    JsonLinesReader,
    Label,
    LabelSettings,
    ParallelReader,
    ParquetReader,
    Reader,
    SquadReader,
)
from mtl.config.decoder import Decoder
from mtl.config.encoder import BaseEncoder, Encoder, EncoderDecoder, PretrainedEncoder, SmallEncoder, TransformerEncoder
from mtl.config.experiment import Experiment, Run, Size
from mtl.config.loading import dump, load, parse
from mtl.config.params import UNTRAINED, Params
from mtl.config.promote import Promote
from mtl.config.reading import read_option, read_yaml
from mtl.config.schema import json_schema
from mtl.config.tasks import Consistency, Task, TaskSettings, WritingSettings, takes
from mtl.config.train import (
    BALANCING_TYPES,
    UNWEIGHTED,
    AnnealedSampling,
    Balancing,
    CagradBalancing,
    DwaBalancing,
    FixedSampling,
    GradientNormBalancing,
    GradNormBalancing,
    PlainBalancing,
    Sampling,
    TemperatureSampling,
    Train,
    UncertaintyBalancing,
)
from mtl.config.tune import Range, Tune
from mtl.errors import Issue

__all__ = [
    "BALANCING_TYPES",
    "SPLITS",
    "TEXT",
    "UNTRAINED",
    "UNWEIGHTED",
    "AnnealedSampling",
    "Audit",
    "Augment",
    "AugmentMethod",
    "BackTranslate",
    "Balancing",
    "BaseEncoder",
    "CagradBalancing",
    "ConllReader",
    "Consistency",
    "Count",
    "Dataset",
    "Decoder",
    "Delete",
    "DelimitedReader",
    "DialogueReader",
    "DwaBalancing",
    "Encoder",
    "EncoderDecoder",
    "Experiment",
    "Feature",
    "FixedSampling",
    "Fractions",
    "GradNormBalancing",
    "GradientNormBalancing",
    "InsertPunctuation",
    "JsonLinesReader",
    "Label",
    "LabelSettings",
    "LabelTokenReplace",
    "Layers",
    "MentionReplace",
    "Method",
    "Name",
    "Nlpaug",
    "ParallelReader",
    "Params",
    "ParquetReader",
    "PlainBalancing",
    "Positive",
    "PretrainedEncoder",
    "Promote",
    "Range",
    "Rate",
    "Reader",
    "RelationChanging",
    "Run",
    "Sampling",
    "Section",
    "Share",
    "ShuffleWithinSegments",
    "Size",
    "SmallEncoder",
    "Source",
    "Split",
    "SquadReader",
    "Swap",
    "Synonym",
    "Task",
    "TaskSettings",
    "TemperatureSampling",
    "Train",
    "TransformerEncoder",
    "Tune",
    "Typo",
    "UncertaintyBalancing",
    "WritingSettings",
    "dump",
    "is_pattern",
    "issues",
    "json_schema",
    "load",
    "parse",
    "read_option",
    "read_yaml",
    "takes",
]


def issues(params: Params) -> list[Issue]:
    """What keeps valid settings from being run: a task that could not be scored, a search that could not be made."""
    return checks.scoring_issues(params) + space.issues(params)
