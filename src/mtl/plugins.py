"""What ``params.yaml`` can name: types of tasks, labels, augmenters and encoders, languages, segmenters; built in, or of outside packages.

A language is a class as in ``mtl.augment.languages``, a segmenter a function as in ``mtl.data.segmentation``. Each of the others is a
settings model with a literal ``type``. Its ``implementation`` names the class that does the work as ``module:Class``, so that reading
settings imports no more than it must. An outside package adds its own by an entry point of the group::

    [project.entry-points."mtl.tasks"]
    text_length = "my_package.text_length:TextLengthSettings"
"""

import hashlib
import json
import pkgutil
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mtl.errors import PluginError

TASKS, LABELS, AUGMENTERS, ENCODERS = "mtl.tasks", "mtl.labels", "mtl.augmenters", "mtl.encoders"
LANGUAGES, SEGMENTERS = "mtl.languages", "mtl.segmenters"

BUILT_IN: dict[str, dict[str, str]] = {
    TASKS: {
        "classification": "mtl.tasks.classification:ClassificationSettings",
        "generation": "mtl.tasks.generation:GenerationSettings",
        "multilabel_classification": "mtl.tasks.multilabel_classification:MultilabelClassificationSettings",
        "question_answering": "mtl.tasks.question_answering:QuestionAnsweringSettings",
        "regression": "mtl.tasks.regression:RegressionSettings",
        "relation_classification": "mtl.tasks.relation_classification:RelationClassificationSettings",
        "token_classification": "mtl.tasks.token_classification:TokenClassificationSettings",
    },
    LABELS: {
        "class": "mtl.data.labels.single_class:ClassLabel",
        "classes": "mtl.data.labels.several_classes:ClassesLabel",
        "number": "mtl.data.labels.number:NumberLabel",
        "tags": "mtl.data.labels.tags:TagsLabel",
        "spans": "mtl.data.labels.spans:SpansLabel",
        "relation": "mtl.data.labels.relation:RelationLabel",
        "answers": "mtl.data.labels.answers:AnswersLabel",
        "text": "mtl.data.labels.text:TextLabel",
    },
    AUGMENTERS: {
        "synonym": "mtl.config.augment:Synonym",
        "back_translate": "mtl.config.augment:BackTranslate",
        "mention_replace": "mtl.config.augment:MentionReplace",
        "label_token_replace": "mtl.config.augment:LabelTokenReplace",
        "shuffle_within_segments": "mtl.config.augment:ShuffleWithinSegments",
        "delete": "mtl.config.augment:Delete",
        "swap": "mtl.config.augment:Swap",
        "insert_punctuation": "mtl.config.augment:InsertPunctuation",
        "typo": "mtl.config.augment:Typo",
        "look_alike": "mtl.config.augment:LookAlike",
        "number_form": "mtl.config.augment:NumberForm",
        "script": "mtl.config.augment:Script",
        "nlpaug": "mtl.config.augment:Nlpaug",
    },
    ENCODERS: {
        "transformer": "mtl.config.encoder:TransformerEncoder",
        "encoder_decoder": "mtl.config.encoder:EncoderDecoder",
        "fnn": "mtl.config.encoder:FeedForwardEncoder",
        "cnn": "mtl.config.encoder:ConvolutionalEncoder",
        "rnn": "mtl.config.encoder:RecurrentEncoder",
    },
    SEGMENTERS: {
        "words": "mtl.data.segmentation:into_words",
        "tweets": "mtl.data.segmentation:into_tweet_tokens",
        "characters": "mtl.data.segmentation:into_characters",
        "spaces": "mtl.data.segmentation:at_spaces",
        "rjieba": "mtl.data.segmentation:into_chinese_words",
    },
    LANGUAGES: {
        "de": "mtl.augment.languages.de:German",
        "en": "mtl.augment.languages.en:English",
        "es": "mtl.augment.languages.es:Spanish",
        "zh": "mtl.augment.languages.zh:Chinese",
    },
}
"""By group: type to its settings model. A built-in name cannot be replaced from outside."""


def names(group: str) -> list[str]:
    """The types of a group, built-in ones first."""
    return list(BUILT_IN[group] | _outside(group))


def settings_of(group: str, name: str) -> Any:
    """The settings model of a type.

    Raises:
        KeyError: there is no such type.
        PluginError: an outside package cannot be imported.
    """
    target = BUILT_IN[group].get(name) or _outside(group)[name]
    return _resolved(f"{group} {name!r}", target)


def implementation_of(settings: Any) -> Any:
    """The class that does what a settings model, or an instance of one, describes.

    Raises:
        PluginError: it cannot be imported.
    """
    return _resolved(
        f"the implementation of {settings.type if not isinstance(settings, type) else settings.__name__}", settings.implementation
    )


def language(tag: str) -> Any:
    """The class of a language, such as ``mtl.augment.languages.en.English`` for ``en-GB``; None if there is none.

    Raises:
        PluginError: an outside package cannot be imported.
    """
    known = {name.lower(): name for name in names(LANGUAGES)}
    parts = tag.lower().split("-")
    prefixes = ("-".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((settings_of(LANGUAGES, known[prefix]) for prefix in prefixes if prefix in known), None)


def outside_packages(group: str) -> dict[str, str]:
    """The outside packages that add to a group, as in ``outside_code``; for groups without settings."""
    packages = {target.partition(":")[0].partition(".")[0] for target in _outside(group).values()}
    return {name: _fingerprint(name) for name in sorted(packages)}


def task_type(name: str) -> Any:
    """The class of a task type, such as ``mtl.tasks.classification.Classification``.

    Raises:
        KeyError: there is no such type.
        PluginError: an outside package cannot be imported.
    """
    return implementation_of(settings_of(TASKS, name))


def outside_code(value: Any) -> dict[str, str]:
    """The outside packages whose plug-ins settings use: top-level package to the sha256 of its Python files. Results depend on them."""
    modules = [module for model in _models(value) for module in (type(model).__module__, getattr(model, "implementation", ""))]
    packages = {module.partition(":")[0].partition(".")[0] for module in modules} - {"mtl", ""}
    return {name: _fingerprint(name) for name in sorted(packages)}


def _models(value: Any) -> Iterator[Any]:
    """All models within settings, themselves included."""
    if hasattr(type(value), "model_fields"):
        yield value
        yield from _models([getattr(value, name) for name in type(value).model_fields])
    elif isinstance(value, dict):
        yield from _models(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _models(item)


def _fingerprint(package: str) -> str:
    """sha256 of the Python files of an installed module or package, which is not imported."""
    spec = find_spec(package)
    roots = list(map(Path, (spec and spec.submodule_search_locations) or ()))
    files = {path.relative_to(root).as_posix(): path for root in roots for path in root.rglob("*.py")}
    if spec and spec.origin and not files:
        files = {package: Path(spec.origin)}
    digests = [(name, hashlib.sha256(path.read_bytes()).hexdigest()) for name, path in sorted(files.items())]
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


@cache
def _outside(group: str) -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=group) if point.name not in BUILT_IN[group]}


def _resolved(what: str, target: str) -> Any:
    try:
        return pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise PluginError(f"{what} ({target}) cannot be imported: {error}") from error
